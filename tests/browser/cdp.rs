//! A small driver for Chromium: DevTools protocol over a pipe, so that no
//! driver program, port or WebSocket is needed.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use base64::Engine;
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::process::{Child, Command};
use tokio::sync::{mpsc, oneshot};

const PATIENCE: Duration = Duration::from_secs(60);

type Waiting = Arc<Mutex<HashMap<u64, oneshot::Sender<Result<Value, String>>>>>;

#[derive(Clone)]
struct Wire {
    next: Arc<AtomicU64>,
    out: mpsc::UnboundedSender<Vec<u8>>,
    waiting: Waiting,
}

impl Wire {
    fn post(&self, session: Option<&str>, method: &str, params: Value) -> u64 {
        let id = self.next.fetch_add(1, Ordering::Relaxed);
        let mut message = json!({ "id": id, "method": method, "params": params });
        if let Some(session) = session {
            message["sessionId"] = session.into();
        }
        let mut bytes = message.to_string().into_bytes();
        bytes.push(0);
        self.out.send(bytes).expect("the browser has gone");
        id
    }

    async fn call(&self, session: Option<&str>, method: &str, params: Value) -> Value {
        let (tx, rx) = oneshot::channel();
        // The lock is held over the send, so that no answer can come before
        // its waiter is there.
        {
            let mut waiting = self.waiting.lock().unwrap();
            let id = self.post(session, method, params);
            waiting.insert(id, tx);
        }
        tokio::time::timeout(PATIENCE, rx)
            .await
            .unwrap_or_else(|_| panic!("no answer to {method}"))
            .expect("the browser has gone")
            .unwrap_or_else(|error| panic!("{method}: {error}"))
    }

    /// Watches a page or one of its workers.
    fn watch(&self, session: &str) {
        for method in ["Network.enable", "Runtime.enable", "Log.enable"] {
            self.post(Some(session), method, json!({}));
        }
        self.post(
            Some(session),
            "Target.setAutoAttach",
            json!({ "autoAttach": true, "waitForDebuggerOnStart": true, "flatten": true }),
        );
        self.post(Some(session), "Runtime.runIfWaitingForDebugger", json!({}));
    }
}

pub(crate) struct Browser {
    child: Child,
    profile: PathBuf,
    wire: Wire,
    events: Arc<Mutex<Vec<Value>>>,
}

impl Browser {
    pub(crate) async fn launch() -> Browser {
        let program = ["chromium", "chromium-browser", "google-chrome", "google-chrome-stable"]
            .into_iter()
            .find(|name| on_path(name))
            .expect("no Chromium on PATH: apt-get install chromium");
        let profile = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!(
            "chromium-{}-{:x}",
            std::process::id(),
            rand::random::<u32>()
        ));
        // The shell moves the two pipes to where the browser looks for them.
        let mut child = Command::new("sh")
            .args(["-c", "exec \"$0\" \"$@\" 3<&0 4>&1 </dev/null >/dev/null 2>&1"])
            .arg(program)
            .args([
                "--remote-debugging-pipe",
                "--headless",
                "--no-sandbox",
                "--disable-gpu",
                "--disable-quic",
                "--disable-dev-shm-usage",
                "--no-first-run",
                "--disable-background-networking",
                "--disable-component-update",
                "--disable-sync",
                "--disable-default-apps",
                "--window-size=1280,800",
            ])
            .arg(format!("--user-data-dir={}", profile.display()))
            .arg("about:blank")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .expect("cannot start Chromium");

        let mut stdin = child.stdin.take().unwrap();
        let stdout = child.stdout.take().unwrap();
        let (out, mut outgoing) = mpsc::unbounded_channel::<Vec<u8>>();
        let wire = Wire { next: Arc::new(AtomicU64::new(1)), out, waiting: Waiting::default() };
        let events = Arc::new(Mutex::new(Vec::new()));
        tokio::spawn(async move {
            while let Some(bytes) = outgoing.recv().await {
                if stdin.write_all(&bytes).await.is_err() || stdin.flush().await.is_err() {
                    return;
                }
            }
        });
        tokio::spawn(read(BufReader::new(stdout), wire.clone(), events.clone()));
        Browser { child, profile, wire, events }
    }

    pub(crate) async fn page(&self) -> Page<'_> {
        let target =
            self.wire.call(None, "Target.createTarget", json!({ "url": "about:blank" })).await;
        let attached = self
            .wire
            .call(
                None,
                "Target.attachToTarget",
                json!({ "targetId": target["targetId"], "flatten": true }),
            )
            .await;
        let session = attached["sessionId"].as_str().unwrap().to_owned();
        self.wire.call(Some(&session), "Page.enable", json!({})).await;
        self.wire.watch(&session);
        Page { browser: self, session }
    }

    /// Addresses of every request made so far, by pages and their workers.
    pub(crate) fn requests(&self) -> Vec<String> {
        self.events
            .lock()
            .unwrap()
            .iter()
            .filter(|e| e["method"] == "Network.requestWillBeSent")
            .filter_map(|e| e["params"]["request"]["url"].as_str().map(str::to_owned))
            .collect()
    }

    /// Exceptions, console errors and warnings, blocked and failed loads, and
    /// breaches of the content security policy.
    pub(crate) fn complaints(&self) -> Vec<String> {
        self.events
            .lock()
            .unwrap()
            .iter()
            .filter_map(|e| {
                let params = &e["params"];
                match e["method"].as_str()? {
                    "Runtime.exceptionThrown" => Some(params["exceptionDetails"].to_string()),
                    "Runtime.consoleAPICalled"
                        if matches!(
                            params["type"].as_str(),
                            Some("error" | "warning" | "assert")
                        ) =>
                    {
                        Some(params["args"].to_string())
                    }
                    "Log.entryAdded"
                        if matches!(
                            params["entry"]["level"].as_str(),
                            Some("error" | "warning")
                        ) =>
                    {
                        Some(params["entry"].to_string())
                    }
                    "Network.loadingFailed" if params["canceled"] != true => {
                        Some(params.to_string())
                    }
                    _ => None,
                }
            })
            .collect()
    }

    pub(crate) async fn close(mut self) {
        self.wire.post(None, "Browser.close", json!({}));
        match tokio::time::timeout(PATIENCE, self.child.wait()).await {
            Ok(Ok(_)) => {}
            other => panic!("the browser did not close: {other:?}"),
        }
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        // The profile is in the target folder: a leftover harms nobody.
        if let Err(error) = std::fs::remove_dir_all(&self.profile) {
            eprintln!("{}: {error}", self.profile.display());
        }
    }
}

pub(crate) struct Page<'a> {
    browser: &'a Browser,
    session: String,
}

impl Page<'_> {
    async fn call(&self, method: &str, params: Value) -> Value {
        self.browser.wire.call(Some(&self.session), method, params).await
    }

    pub(crate) async fn goto(&self, url: &str) {
        let answer = self.call("Page.navigate", json!({ "url": url })).await;
        assert!(answer["errorText"].is_null(), "{url}: {answer}");
        self.until("document.readyState === 'complete'").await;
    }

    /// The value of a JavaScript expression.
    pub(crate) async fn eval(&self, expression: &str) -> Value {
        let answer = self
            .call(
                "Runtime.evaluate",
                json!({ "expression": expression, "returnByValue": true, "awaitPromise": true }),
            )
            .await;
        assert!(answer["exceptionDetails"].is_null(), "{expression}: {answer}");
        answer["result"]["value"].clone()
    }

    /// Waits until an expression is true.
    pub(crate) async fn until(&self, expression: &str) {
        let start = Instant::now();
        while self.eval(&format!("!!({expression})")).await != true {
            if start.elapsed() > PATIENCE {
                let text = self.eval("document.body.innerText").await;
                panic!("never true: {expression}\nthe page says: {text}");
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    pub(crate) async fn click(&self, selector: &str) {
        let quoted = json!(selector);
        self.until(&format!("document.querySelector({quoted})")).await;
        self.eval(&format!("document.querySelector({quoted}).click()")).await;
    }

    /// Picks an option of the `<select>` with this label by its visible text.
    pub(crate) async fn select(&self, label: &str, option: &str) {
        let (selector, option) = (json!(format!("select[aria-label='{label}']")), json!(option));
        self.until(&format!(
            "(() => {{
                const select = document.querySelector({selector});
                const option = select && [...select.options].find((o) => o.text === {option});
                if (!option) return false;
                select.value = option.value;
                select.dispatchEvent(new Event('change', {{ bubbles: true }}));
                return true;
            }})()"
        ))
        .await;
    }

    /// Puts the cursor into a field.
    pub(crate) async fn focus(&self, selector: &str) {
        let quoted = json!(selector);
        self.until(&format!("document.querySelector({quoted})")).await;
        self.eval(&format!("document.querySelector({quoted}).focus()")).await;
    }

    /// Replaces what is in the focused field or editor, as a user does.
    pub(crate) async fn retype(&self, text: &str) {
        for kind in ["keyDown", "keyUp"] {
            self.call(
                "Input.dispatchKeyEvent",
                json!({ "type": kind, "modifiers": 2, "key": "a", "code": "KeyA",
                        "windowsVirtualKeyCode": 65, "commands": ["selectAll"] }),
            )
            .await;
        }
        self.call("Input.insertText", json!({ "text": text })).await;
    }

    pub(crate) async fn screenshot(&self, path: &Path) {
        let shot = self.call("Page.captureScreenshot", json!({ "format": "png" })).await;
        let png = base64::engine::general_purpose::STANDARD
            .decode(shot["data"].as_str().unwrap())
            .unwrap();
        std::fs::write(path, png).unwrap();
    }
}

async fn read(
    mut from: BufReader<tokio::process::ChildStdout>,
    wire: Wire,
    events: Arc<Mutex<Vec<Value>>>,
) {
    let mut bytes = Vec::new();
    loop {
        bytes.clear();
        match from.read_until(0, &mut bytes).await {
            Ok(n) if n > 0 => {}
            _ => return,
        }
        bytes.pop();
        let Ok(message) = serde_json::from_slice::<Value>(&bytes) else {
            continue;
        };
        if let Some(id) = message["id"].as_u64() {
            let waiter = wire.waiting.lock().unwrap().remove(&id);
            if let Some(waiter) = waiter {
                let answer = match message.get("error") {
                    Some(error) => Err(error.to_string()),
                    None => Ok(message["result"].clone()),
                };
                // A test that has given up waiting no longer wants it.
                drop(waiter.send(answer));
            }
            continue;
        }
        if message["method"] == "Target.attachedToTarget" {
            let inner = &message["params"];
            if matches!(
                inner["targetInfo"]["type"].as_str(),
                Some("worker" | "shared_worker" | "service_worker")
            ) && let Some(session) = inner["sessionId"].as_str()
            {
                wire.watch(session);
            }
        }
        events.lock().unwrap().push(message);
    }
}

fn on_path(name: &str) -> bool {
    std::env::var_os("PATH")
        .is_some_and(|path| std::env::split_paths(&path).any(|dir| dir.join(name).is_file()))
}
