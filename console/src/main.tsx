// The console: an identity bar above GraphiQL. Changing the identity swaps the
// fetcher, upon which GraphiQL reads the schema of the new role.
import "./workers";
import "graphiql/style.css";
import "./style.css";
import { GraphiQL } from "graphiql";
import { StrictMode, useEffect, useMemo, useState } from "react";
import { createRoot } from "react-dom/client";
import { type Config, loadConfig } from "./config";
import { createFetcher } from "./fetcher";
import { IdentityBar } from "./IdentityBar";
import { ANONYMOUS, type Identity, saveIdentity, savedIdentity } from "./identity";
import { storage } from "./storage";

const WELCOME = `# Pick an identity above, then run
# a query with Ctrl-Enter.
#
# Ctrl-Space completes; the book at the
# left holds the schema of this role.
#
# Every answer has passed the row-level
# security of the database.
`;

function Console({ config }: { config: Config }) {
  const saved = useMemo(savedIdentity, []);
  const [identity, setIdentity] = useState<Identity>(() => {
    if (saved) return saved.identity;
    const first = config.tokens[0];
    return first ? { kind: "token", token: first.token, role: "" } : ANONYMOUS;
  });
  const [remember, setRemember] = useState(saved?.remember ?? false);
  useEffect(() => saveIdentity(identity, remember), [identity, remember]);
  const fetcher = useMemo(() => createFetcher(config.endpoint, identity), [config.endpoint, identity]);

  return (
    <div className="rf-page">
      <IdentityBar
        config={config}
        identity={identity}
        onChange={setIdentity}
        remember={remember}
        onRemember={setRemember}
      />
      <GraphiQL
        fetcher={fetcher}
        storage={storage}
        defaultQuery={WELCOME}
        shouldPersistHeaders={false}
        showPersistHeadersSettings={false}
        inputValueDeprecation={false}
      >
        <GraphiQL.Logo> </GraphiQL.Logo>
      </GraphiQL>
    </div>
  );
}

const root = document.getElementById("root");
if (root) {
  const app = createRoot(root);
  loadConfig().then(
    (config) =>
      app.render(
        <StrictMode>
          <Console config={config} />
        </StrictMode>,
      ),
    (error: Error) =>
      app.render(
        <main className="rf-failed">
          <h1>The console could not start</h1>
          <p>{error.message}</p>
        </main>,
      ),
  );
}
