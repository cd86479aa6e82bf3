// Who the console speaks as, and the headers that follow from it.
import { readToken } from "./claims";

export type Identity =
  | { kind: "anonymous" }
  | { kind: "token"; token: string; role: string }
  | { kind: "secret"; secret: string; role: string; variables: string };

export const ANONYMOUS: Identity = { kind: "anonymous" };

/** `x-hasura-name: value` lines of the admin's session variables. */
export function parseVariables(lines: string): { headers: Record<string, string>; bad: string[] } {
  const headers: Record<string, string> = {};
  const bad: string[] = [];
  for (const line of lines.split("\n").map((l) => l.trim()).filter(Boolean)) {
    const match = /^(x-hasura-[a-z0-9_-]+)\s*:\s*(.*)$/i.exec(line);
    if (match?.[1] && !/^x-hasura-(admin-secret|role)$/i.test(match[1])) headers[match[1].toLowerCase()] = match[2] ?? "";
    else bad.push(line);
  }
  return { headers, bad };
}

export function headersOf(identity: Identity): Record<string, string> {
  switch (identity.kind) {
    case "anonymous":
      return {};
    case "token": {
      const headers: Record<string, string> = { Authorization: `Bearer ${identity.token.trim()}` };
      // The default role needs no header, so that the server's own choice is seen.
      if (identity.role && identity.role !== readToken(identity.token)?.defaultRole) headers["x-hasura-role"] = identity.role;
      return headers;
    }
    case "secret": {
      const headers: Record<string, string> = { "x-hasura-admin-secret": identity.secret };
      if (identity.role) headers["x-hasura-role"] = identity.role;
      return { ...headers, ...parseVariables(identity.variables).headers };
    }
  }
}

const KEY = "ringfence:identity";

/** Kept for this tab; in the browser's own storage only when the user asks. */
export function saveIdentity(identity: Identity, remember: boolean): void {
  const value = JSON.stringify(identity);
  sessionStorage.setItem(KEY, value);
  if (remember) localStorage.setItem(KEY, value);
  else localStorage.removeItem(KEY);
}

export function savedIdentity(): { identity: Identity; remember: boolean } | undefined {
  const local = localStorage.getItem(KEY);
  const value = sessionStorage.getItem(KEY) ?? local;
  if (!value) return undefined;
  try {
    return { identity: JSON.parse(value) as Identity, remember: local !== null };
  } catch {
    return undefined;
  }
}
