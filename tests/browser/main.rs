//! The console in a real Chromium: what a user sees, and that nothing is asked
//! of any other host.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by a panic"
)]

mod cdp;
#[path = "../harness/mod.rs"]
mod harness;

use std::path::{Path, PathBuf};

use cdp::{Browser, Page};
use harness::{TestDb, Token};
use ringfence::app::App;
use ringfence::base::Secret;
use ringfence::console::DevToken;
use tokio_util::sync::CancellationToken;

const SCHEMA: &str = "
    create table notes (id int primary key, tenant_id text not null, body text not null);
    comment on table notes is 'What a tenant wrote down.';
    comment on column notes.body is 'The text of the note.';
    alter table notes enable row level security;
    create policy tenant on notes to app_user, app_editor
        using (tenant_id = (select current_setting('app.tenant_id', true)));
    grant select on notes to app_user;
    grant select (id) on notes to app_editor;
    insert into notes values (1, 'acme', 'Acme: first'), (2, 'acme', 'Acme: second'),
        (3, 'globex', 'Globex: only');
";

/// Where screenshots go, for eyes: `target/tmp/console-*.png`.
fn picture(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("console-{name}.png"))
}

const EDITOR: &str = ".graphiql-query-editor .monaco-editor textarea";
const TOKEN: &str = "textarea[aria-label='Token']";

/// The answer that GraphiQL shows, blanks removed.
const SHOWN: &str = "(window.__MONACO.editor.getEditors()
    .find((e) => e.getDomNode().closest('.result-window'))?.getValue() ?? '').replace(/\\s+/g, '')";

async fn paste_token(page: &Page<'_>, token: &str) {
    page.focus(TOKEN).await;
    page.retype(token).await;
    page.eval("document.activeElement.blur()").await;
}

async fn run(page: &Page<'_>, query: &str) {
    page.focus(EDITOR).await;
    page.retype(query).await;
    page.click(".graphiql-execute-button").await;
}

async fn until_shown(page: &Page<'_>, answer: &str) {
    page.until(&format!("{SHOWN} === {}", serde_json::json!(answer))).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_console_shows_each_tenant_its_own() {
    let built = Path::new(env!("CARGO_MANIFEST_DIR")).join("console/dist/index.html.gz");
    assert!(built.is_file(), "the console is not built: run `make console`");
    let db = TestDb::new(SCHEMA).await;
    let acme = Token::new("user").roles(&["user", "editor"]).tenant("acme").user("alice");
    let globex = Token::new("user").tenant("globex").user("dora");
    let ready = DevToken { label: "Dora of Globex".into(), token: Secret::new(globex.mint()) };
    let stop = CancellationToken::new();
    let app = App::start(db.config(&[])).await.unwrap();
    let serving = app.serve(stop.clone(), vec![ready]).await.unwrap();
    let base = format!("http://{}", serving.address);

    let browser = Browser::launch().await;
    let page = browser.page().await;
    page.goto(&format!("{base}/")).await;

    // A pasted token: its claims are shown, and the docs explorer has the role's schema.
    page.select("Identity", "Token …").await;
    paste_token(&page, &acme.mint()).await;
    page.until("document.querySelector('.rf-bar').innerText.includes('tenant acme')").await;
    page.until("document.querySelector('.rf-bar').innerText.includes('expires in')").await;
    page.until("document.querySelector('.rf-panel').innerText.includes('x-hasura-user-id')").await;
    page.screenshot(&picture("token")).await;
    page.click(".rf-toggle").await;
    page.click("button[aria-label='Show Documentation Explorer']").await;
    let docs = "document.querySelector('.graphiql-doc-explorer').innerText";
    page.until(&format!("{docs}.includes('query_root')")).await;
    page.eval(
        "[...document.querySelectorAll('.graphiql-doc-explorer a')]
            .find((a) => a.innerText === 'query_root').click()",
    )
    .await;
    page.until(&format!("{docs}.includes('notes')")).await;
    page.screenshot(&picture("docs")).await;

    // The tenant's rows; with a ready token of the other tenant, that one's.
    let query = "query Mine { notes(order_by: {id: asc}) { id body } }";
    run(&page, query).await;
    until_shown(
        &page,
        r#"{"data":{"notes":[{"id":1,"body":"Acme:first"},{"id":2,"body":"Acme:second"}]}}"#,
    )
    .await;
    page.screenshot(&picture("answer")).await;
    page.select("Identity", "Dora of Globex").await;
    page.until("document.querySelector('.rf-bar').innerText.includes('tenant globex')").await;
    page.click(".graphiql-execute-button").await;
    until_shown(&page, r#"{"data":{"notes":[{"id":3,"body":"Globex:only"}]}}"#).await;

    // Another role of the first token sees another schema.
    page.select("Identity", "Token …").await;
    paste_token(&page, &acme.mint()).await;
    page.until("document.querySelector('.rf-bar').innerText.includes('tenant acme')").await;
    page.select("Role", "editor").await;
    page.click(".graphiql-execute-button").await;
    page.until(&format!("{SHOWN}.includes('\"code\":\"validation-failed\"')")).await;

    // An expired token is marked before it is refused.
    paste_token(&page, &globex.clone().top("exp", 1_000_000_000).mint()).await;
    page.until("document.querySelector('.rf-bar [role=alert]')?.innerText.includes('expired')")
        .await;
    page.screenshot(&picture("expired")).await;

    // History remembers across a reload, and tokens are kept for the tab only.
    page.goto(&format!("{base}/console")).await;
    page.click("button[aria-label='Show History']").await;
    page.until("document.querySelector('.graphiql-history').innerText.includes('Mine')").await;
    page.screenshot(&picture("history")).await;
    assert_eq!(page.eval("JSON.stringify(localStorage).includes('eyJ')").await, false);

    let requests = browser.requests();
    assert!(requests.iter().any(|url| url.contains(".worker-")), "no worker ran: {requests:?}");
    for url in requests {
        assert!(
            url.starts_with(&base) || url.starts_with("data:") || url.starts_with("blob:"),
            "a request to another origin: {url}"
        );
    }
    let complaints: Vec<String> = browser
        .complaints()
        .into_iter()
        // The expired token is refused with 401, which the browser notes.
        .filter(|text| !text.contains("401"))
        .collect();
    assert_eq!(complaints, [""; 0]);
    browser.close().await;
    stop.cancel();
    serving.finished().await;
}
