// Reads a token for display. Nothing here is trusted: the server verifies.

export type Claims = Record<string, unknown>;

export interface TokenInfo {
  claims: Claims;
  /** The Hasura claims: those under a namespace, or the top level itself. */
  hasura: Claims;
  defaultRole?: string;
  allowedRoles: string[];
  tenant?: string;
  user?: string;
  /** Seconds since 1970. */
  expires?: number;
}

const isObject = (value: unknown): value is Claims =>
  typeof value === "object" && value !== null && !Array.isArray(value);

function decodePart(part: string): unknown {
  const binary = atob(part.replace(/-/g, "+").replace(/_/g, "/"));
  return JSON.parse(new TextDecoder().decode(Uint8Array.from(binary, (c) => c.charCodeAt(0))));
}

/** The object that holds the role claims, wherever the issuer put it. */
function findHasura(claims: Claims): Claims {
  const holds = (value: unknown) => isObject(value) && Object.keys(value).some((k) => /^x-hasura-/i.test(k));
  const search = (value: unknown, depth: number): Claims | undefined => {
    if (typeof value === "string" && value.startsWith("{")) {
      try {
        value = JSON.parse(value);
      } catch {
        return undefined;
      }
    }
    if (holds(value)) return value as Claims;
    if (!isObject(value) || depth === 0) return undefined;
    for (const inner of Object.values(value)) {
      const found = search(inner, depth - 1);
      if (found) return found;
    }
    return undefined;
  };
  return search(claims, 3) ?? {};
}

const text = (value: unknown): string | undefined =>
  typeof value === "string" && value !== "" ? value : typeof value === "number" ? String(value) : undefined;

export function readToken(token: string): TokenInfo | undefined {
  const parts = token.trim().split(".");
  if (parts.length !== 3 || !parts[1]) return undefined;
  let claims: unknown;
  try {
    claims = decodePart(parts[1]);
  } catch {
    return undefined;
  }
  if (!isObject(claims)) return undefined;
  const hasura: Claims = {};
  for (const [key, value] of Object.entries(findHasura(claims))) hasura[key.toLowerCase()] = value;
  const allowed = hasura["x-hasura-allowed-roles"];
  return {
    claims,
    hasura,
    defaultRole: text(hasura["x-hasura-default-role"]),
    allowedRoles: Array.isArray(allowed) ? allowed.filter((r): r is string => typeof r === "string") : [],
    tenant: text(hasura["x-hasura-tenant-id"]) ?? text(claims.tenant_id),
    user: text(hasura["x-hasura-user-id"]) ?? text(claims.user_id) ?? text(claims.sub),
    expires: typeof claims.exp === "number" ? claims.exp : undefined,
  };
}

/** "in 14 min", or how long ago. */
export function distance(seconds: number): string {
  const s = Math.abs(seconds);
  const [n, unit] =
    s < 90 ? [Math.round(s), "s"] : s < 5400 ? [Math.round(s / 60), "min"] : s < 172800 ? [Math.round(s / 3600), "h"] : [Math.round(s / 86400), "days"];
  return seconds >= 0 ? `in ${n} ${unit}` : `${n} ${unit} ago`;
}
