// The bar that says as whom the next request is made, and the panel below it
// where tokens, the admin secret and the decoded claims are.
import { useEffect, useId, useState } from "react";
import { distance, readToken, type TokenInfo } from "./claims";
import type { Config } from "./config";
import { ANONYMOUS, headersOf, type Identity, parseVariables } from "./identity";

interface Props {
  config: Config;
  identity: Identity;
  onChange: (identity: Identity) => void;
  remember: boolean;
  onRemember: (remember: boolean) => void;
}

const WARN_SECONDS = 120;

function useNow(): number {
  const [now, setNow] = useState(() => Date.now() / 1000);
  useEffect(() => {
    const timer = setInterval(() => setNow(Date.now() / 1000), 1000);
    return () => clearInterval(timer);
  }, []);
  return now;
}

export function IdentityBar({ config, identity, onChange, remember, onRemember }: Props) {
  const [open, setOpen] = useState(false);
  const now = useNow();
  const ids = { who: useId(), role: useId() };
  const info = identity.kind === "token" ? readToken(identity.token) : undefined;
  const devIndex = identity.kind === "token" ? config.tokens.findIndex((t) => t.token === identity.token) : -1;
  const who = devIndex >= 0 ? `dev:${devIndex}` : identity.kind;

  const choose = (value: string) => {
    const dev = value.startsWith("dev:") ? config.tokens[Number(value.slice(4))] : undefined;
    if (dev) onChange({ kind: "token", token: dev.token, role: "" });
    else if (value === "token") onChange({ kind: "token", token: "", role: "" });
    else if (value === "secret") onChange({ kind: "secret", secret: "", role: "", variables: "" });
    else onChange(ANONYMOUS);
    setOpen(value === "token" || value === "secret" ? true : open);
  };

  return (
    <header className="rf-bar">
      <div className="rf-line">
        <span className="rf-brand">
          <img src="/console/icon.svg" alt="" width="20" height="20" />
          Ringfence
        </span>
        <label htmlFor={ids.who}>as</label>
        <select id={ids.who} aria-label="Identity" value={who} onChange={(e) => choose(e.target.value)}>
          {config.tokens.length > 0 && (
            <optgroup label="Development tokens">
              {config.tokens.map((t, i) => (
                <option key={t.label} value={`dev:${i}`}>
                  {t.label}
                </option>
              ))}
            </optgroup>
          )}
          <option value="token">Token …</option>
          <option value="secret">Admin secret …</option>
          <option value="anonymous">Nobody (no credentials)</option>
        </select>
        <Role identity={identity} info={info} id={ids.role} onChange={onChange} />
        {info?.tenant && <Chip name="tenant" value={info.tenant} />}
        {info?.user && <Chip name="user" value={info.user} />}
        {info?.expires !== undefined && <Expiry seconds={info.expires - now} />}
        <button type="button" className="rf-toggle" aria-expanded={open} onClick={() => setOpen(!open)}>
          {open ? "Hide details" : "Details"}
        </button>
      </div>
      {open && (
        <section className="rf-panel" aria-label="Identity details">
          <Credentials identity={identity} info={info} onChange={onChange} />
          <div>
            <h2>Headers sent</h2>
            <pre>{headerLines(identity)}</pre>
            <label className="rf-check">
              <input type="checkbox" checked={remember} onChange={(e) => onRemember(e.target.checked)} />
              Remember in this browser (otherwise until this tab is closed)
            </label>
            <p className="rf-small">
              Ringfence {config.version} · <a href="/console/licenses.txt">licences</a>
            </p>
          </div>
          <div>
            <h2>Claims in the token</h2>
            <pre>{info ? JSON.stringify(info.claims, null, 2) : "no token"}</pre>
          </div>
        </section>
      )}
    </header>
  );
}

function Role({
  identity,
  info,
  id,
  onChange,
}: {
  identity: Identity;
  info: TokenInfo | undefined;
  id: string;
  onChange: (identity: Identity) => void;
}) {
  if (identity.kind === "token" && info && info.allowedRoles.length > 0) {
    return (
      <>
        <label htmlFor={id}>role</label>
        <select
          id={id}
          aria-label="Role"
          value={identity.role || info.defaultRole || ""}
          onChange={(e) => onChange({ ...identity, role: e.target.value })}
        >
          {info.allowedRoles.map((role) => (
            <option key={role} value={role}>
              {role === info.defaultRole ? `${role} (default)` : role}
            </option>
          ))}
        </select>
      </>
    );
  }
  if (identity.kind === "secret") {
    return (
      <>
        <label htmlFor={id}>role</label>
        <Lazy
          id={id}
          value={identity.role}
          placeholder="none: the admin"
          onCommit={(role) => onChange({ ...identity, role: role.trim() })}
        />
      </>
    );
  }
  return null;
}

function Chip({ name, value }: { name: string; value: string }) {
  return (
    <span className="rf-chip" title={`${name} ${value}`}>
      <b>{name}</b> {value.length > 14 ? `${value.slice(0, 8)}…${value.slice(-4)}` : value}
    </span>
  );
}

function Expiry({ seconds }: { seconds: number }) {
  if (seconds <= 0) {
    return (
      <span className="rf-chip rf-bad" role="alert">
        expired {distance(seconds)}: requests are refused
      </span>
    );
  }
  return <span className={seconds < WARN_SECONDS ? "rf-chip rf-warn" : "rf-chip"}>expires {distance(seconds)}</span>;
}

function Credentials({
  identity,
  info,
  onChange,
}: {
  identity: Identity;
  info: TokenInfo | undefined;
  onChange: (identity: Identity) => void;
}) {
  switch (identity.kind) {
    case "anonymous":
      return (
        <div>
          <h2>No credentials</h2>
          <p>The server answers with its unauthorized role if it has one, and refuses otherwise.</p>
        </div>
      );
    case "token":
      return (
        <div>
          <h2>Token</h2>
          <Lazy
            label="Token"
            rows={6}
            value={identity.token}
            placeholder="Paste a JWT"
            onCommit={(token) => onChange({ ...identity, token: token.replace(/^\s*bearer\s+/i, "").trim(), role: "" })}
          />
          {identity.token && !info && <p className="rf-bad">This is not a JWT: three parts joined by dots, the second base64url JSON.</p>}
        </div>
      );
    case "secret": {
      const { bad } = parseVariables(identity.variables);
      return (
        <div>
          <h2>Admin secret</h2>
          <Lazy
            label="Admin secret"
            password
            value={identity.secret}
            placeholder="Admin secret"
            onCommit={(secret) => onChange({ ...identity, secret })}
          />
          <h2>Session variables</h2>
          <Lazy
            label="Session variables"
            rows={3}
            value={identity.variables}
            placeholder={"x-hasura-tenant-id: …\nx-hasura-user-id: …"}
            onCommit={(variables) => onChange({ ...identity, variables })}
          />
          {bad.length > 0 && <p className="rf-bad">Not a session variable: {bad[0]}</p>}
        </div>
      );
    }
  }
}

/** A field that reports when the user is done, as each report reads a schema. */
function Lazy(props: {
  id?: string;
  label?: string;
  value: string;
  placeholder: string;
  rows?: number;
  password?: boolean;
  onCommit: (value: string) => void;
}) {
  const [draft, setDraft] = useState(props.value);
  useEffect(() => setDraft(props.value), [props.value]);
  const commit = () => {
    if (draft !== props.value) props.onCommit(draft);
  };
  const common = {
    id: props.id,
    "aria-label": props.label,
    value: draft,
    placeholder: props.placeholder,
    spellCheck: false,
    autoComplete: "off",
    onBlur: commit,
  };
  return props.rows ? (
    <textarea
      {...common}
      rows={props.rows}
      onChange={(e) => setDraft(e.target.value)}
      // A pasted token takes effect at once.
      onPaste={(e) => setTimeout(() => (e.target as HTMLTextAreaElement).blur())}
    />
  ) : (
    <input
      {...common}
      type={props.password ? "password" : "text"}
      onChange={(e) => setDraft(e.target.value)}
      onKeyDown={(e) => e.key === "Enter" && commit()}
    />
  );
}

function headerLines(identity: Identity): string {
  const lines = Object.entries(headersOf(identity)).map(([name, value]) => {
    if (name === "x-hasura-admin-secret") return `${name}: ${"•".repeat(Math.min(value.length, 12))}`;
    return `${name}: ${value.length > 40 ? `${value.slice(0, 40)}…` : value}`;
  });
  return lines.length > 0 ? lines.join("\n") : "none";
}
