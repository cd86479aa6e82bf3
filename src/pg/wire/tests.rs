//! Against a model of Postgres' side of the protocol: what the driver learns of
//! each request, and who each query runs as, is the same with the wire between
//! them and without, however the bytes are cut and flushed.

use proptest::prelude::*;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::*;

/// One request of the driver, up to its Sync.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ask {
    Begin,
    BeginUnnamed,
    /// Says who asks, until the transaction ends.
    Set(u8),
    /// Runs as whoever was set, and returns so many rows.
    Query(u8),
    Unnamed(u8),
    Fail,
    Prepare,
    PrepareBad,
    Close,
    Commit,
    CommitUnnamed,
    Simple(&'static str),
}

fn message(tag: u8, body: &[u8]) -> Vec<u8> {
    let length = u32::try_from(body.len() + 4).expect("short");
    [&[tag][..], &length.to_be_bytes(), body].concat()
}

fn parse(name: &str, text: &str) -> Vec<u8> {
    message(b'P', format!("{name}\0{text}\0\0\0").as_bytes())
}

fn run(name: &str) -> Vec<u8> {
    let bind = message(b'B', format!("\0{name}\0\0\0\0\0\0\x01\0\x01").as_bytes());
    [bind, message(b'E', b"\0\0\0\0\0")].concat()
}

fn whole(text: &str) -> Vec<u8> {
    let bind = message(b'B', b"\0\0\0\0\0\0\0\x01\0\x01");
    let rest = [message(b'D', b"S\0"), message(b'E', b"\0\0\0\0\0")].concat();
    [parse("", text), bind, rest].concat()
}

impl Ask {
    fn bytes(self) -> Vec<u8> {
        let group = match self {
            Ask::Begin => run("begin"),
            Ask::BeginUnnamed => whole("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"),
            Ask::Set(who) => run(&format!("set {who}")),
            Ask::Query(rows) => run(&format!("query {rows}")),
            Ask::Unnamed(rows) => whole(&format!("query {rows}")),
            Ask::Fail => run("fail"),
            Ask::Prepare => [parse("new", "query 1"), message(b'D', b"Snew\0")].concat(),
            Ask::PrepareBad => [parse("new", "bad"), message(b'D', b"Snew\0")].concat(),
            Ask::Close => message(b'C', b"Snew\0"),
            Ask::Commit => run("commit"),
            Ask::CommitUnnamed => whole("COMMIT"),
            Ask::Simple(text) => return message(b'Q', format!("{text}\0").as_bytes()),
        };
        [group, SYNC.to_vec()].concat()
    }
}

/// What a driver has prepared before.
fn prepared() -> Vec<u8> {
    let mut out = [parse("begin", "BEGIN READ ONLY"), parse("commit", "COMMIT")].concat();
    for name in ["fail", "set 1", "set 2", "query 0", "query 1", "query 3"] {
        out.extend(parse(name, name));
    }
    [out, SYNC.to_vec()].concat()
}

const STARTUP: &[u8] = b"\0\0\0\x0e\0\x03\0\0user\0\0";

/// Postgres, as far as the protocol goes.
#[derive(Default)]
struct Server {
    input: Vec<u8>,
    started: bool,
    statements: Vec<(String, String)>,
    bound: String,
    /// A transaction that BEGIN began.
    open: bool,
    failed: bool,
    skipping: bool,
    who: u8,
    /// Who each query ran as.
    ran: Vec<u8>,
    syncs: usize,
    noisy: bool,
}

impl Server {
    fn status(&self) -> u8 {
        match (self.open, self.failed) {
            (true, true) => b'E',
            (true, false) => b'T',
            (false, _) => b'I',
        }
    }

    fn take(&mut self, bytes: &[u8], out: &mut Vec<u8>) {
        self.input.extend_from_slice(bytes);
        if !self.started {
            if self.input.len() < STARTUP.len() {
                return;
            }
            assert_eq!(self.input.drain(..STARTUP.len()).collect::<Vec<_>>(), STARTUP);
            self.started = true;
            out.extend(message(b'R', &[0; 4]));
            out.extend(message(b'S', b"a\0b\0"));
            out.extend(message(b'Z', b"I"));
        }
        while self.input.len() >= 5 {
            let length = u32::from_be_bytes(self.input[1..5].try_into().expect("four bytes"));
            let end = 1 + usize::try_from(length).expect("short");
            if self.input.len() < end {
                return;
            }
            let whole: Vec<u8> = self.input.drain(..end).collect();
            self.message(whole[0], &whole[5..], out);
        }
    }

    fn message(&mut self, tag: u8, body: &[u8], out: &mut Vec<u8>) {
        if self.noisy {
            out.extend(message(b'N', b"notice\0"));
        }
        let texts: Vec<String> =
            body.split(|b| *b == 0).map(|t| String::from_utf8_lossy(t).into_owned()).collect();
        if tag == b'S' {
            self.syncs += 1;
            self.skipping = false;
            if !self.open {
                self.who = 0;
            }
            return out.extend(message(b'Z', &[self.status()]));
        }
        if self.skipping {
            return;
        }
        match tag {
            b'P' if texts[1] == "bad" => self.fail(out),
            b'P' if self.refuses(&texts[1]) => self.fail(out),
            b'P' => {
                self.statements.retain(|(name, _)| *name != texts[0]);
                self.statements.push((texts[0].clone(), texts[1].clone()));
                out.extend(message(b'1', b""));
            }
            b'B' => {
                let known = self.statements.iter().find(|(name, _)| *name == texts[1]);
                self.bound = known.expect("a prepared statement").1.clone();
                if self.refuses(&self.bound.clone()) {
                    return self.fail(out);
                }
                out.extend(message(b'2', b""));
            }
            b'D' => {
                out.extend(message(b't', &[0, 0]));
                out.extend(message(b'T', &[0, 0]));
            }
            b'C' => out.extend(message(b'3', b"")),
            b'E' => {
                let bound = self.bound.clone();
                self.execute(&bound, out);
            }
            b'Q' => {
                if self.refuses(&texts[0]) {
                    self.fail(out);
                } else {
                    self.execute(&texts[0], out);
                }
                self.skipping = false;
                if !self.open {
                    self.who = 0;
                }
                out.extend(message(b'Z', &[self.status()]));
            }
            _ => panic!("an unexpected message {tag}"),
        }
    }

    fn refuses(&self, text: &str) -> bool {
        self.open && self.failed && !matches!(text, "COMMIT" | "ROLLBACK")
    }

    fn fail(&mut self, out: &mut Vec<u8>) {
        self.failed = self.open;
        self.skipping = true;
        out.extend(message(b'E', b"SERROR\0C22012\0\0"));
    }

    fn execute(&mut self, text: &str, out: &mut Vec<u8>) {
        let mut words = text.split(' ');
        let done = match (words.next().unwrap_or(""), words.next()) {
            ("BEGIN", _) => {
                (self.open, self.failed) = (true, false);
                "BEGIN"
            }
            (end @ ("COMMIT" | "ROLLBACK"), _) => {
                let tag = if self.failed { "ROLLBACK" } else { end };
                (self.open, self.failed, self.who) = (false, false, 0);
                tag
            }
            ("set", who) => {
                self.who = who.expect("who").parse().expect("a number");
                out.extend(message(b'D', &[0, 0]));
                "SELECT 1"
            }
            ("query", rows) => {
                self.ran.push(self.who);
                for _ in 0..rows.expect("rows").parse().expect("a number") {
                    out.extend(message(b'D', &[7; 300]));
                }
                "SELECT"
            }
            ("fail", _) => return self.fail(out),
            _ => "OTHER",
        };
        out.extend(message(b'C', format!("{done}\0").as_bytes()));
    }
}

/// What the driver learns of one request.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
struct Answer {
    failed: bool,
    /// The messages that say something.
    tags: Vec<u8>,
    rolled_back: bool,
}

/// The answers to requests, told apart by ReadyForQuery.
fn answers(mut bytes: &[u8]) -> Vec<Answer> {
    let mut all = Vec::new();
    let mut one = Answer::default();
    while !bytes.is_empty() {
        let length = u32::from_be_bytes(bytes[1..5].try_into().expect("four bytes"));
        let message = split(&mut bytes, 1 + usize::try_from(length).expect("short"));
        match message[0] {
            b'E' => one.failed = true,
            b'Z' => all.push(std::mem::take(&mut one)),
            b'N' | b'S' | b'R' => {}
            tag => {
                one.rolled_back |= tag == b'C' && message.ends_with(b"ROLLBACK\0");
                one.tags.push(tag);
            }
        }
    }
    assert_eq!(one, Answer::default(), "the last answer is whole");
    all
}

/// Cuts bytes into pieces of the given sizes, over and over.
fn pieces<'a>(bytes: &'a [u8], sizes: &'a [usize]) -> Vec<&'a [u8]> {
    let mut rest = bytes;
    let mut out = Vec::new();
    for size in sizes.iter().cycle() {
        if rest.is_empty() {
            break;
        }
        out.push(split(&mut rest, *size));
    }
    out
}

/// What a run looked like from both ends.
struct Seen {
    answers: Vec<Answer>,
    server: Server,
}

/// Runs bursts of requests, each written together, and as our transactions do, a
/// ROLLBACK after a burst of which one failed. `flushes` says after which requests
/// of a burst the driver flushes already.
fn talk(bursts: &[Vec<Ask>], sizes: &[usize], flushes: &[bool], noisy: bool, wire: bool) -> Seen {
    let mut folding = Folding::default();
    let status = TxStatus::default();
    let mut server = Server { noisy, ..Server::default() };
    let mut seen = Vec::new();
    let mut flush = flushes.iter().cycle();
    let mut send = |requests: Vec<Vec<u8>>| -> Vec<Answer> {
        let mut from_server = Vec::new();
        let mut out = BytesMut::new();
        for (index, request) in requests.iter().enumerate() {
            for piece in pieces(request, sizes) {
                if wire {
                    folding.write(piece, &mut out).expect("sound");
                } else {
                    out.extend_from_slice(piece);
                }
            }
            if index + 1 == requests.len() || flush.next() == Some(&true) {
                if wire {
                    folding.settle(&mut out);
                }
                server.take(&out.split(), &mut from_server);
            }
        }
        let mut to_driver = Vec::new();
        for mut piece in pieces(&from_server, sizes) {
            while wire && !piece.is_empty() {
                let mut insert = BytesMut::new();
                let taken = folding.read(piece, &mut insert, &status).expect("sound");
                to_driver.extend_from_slice(split(&mut piece, taken));
                to_driver.extend_from_slice(&insert);
            }
            to_driver.extend_from_slice(piece);
        }
        if wire {
            assert!(folding.units.is_empty(), "every request has its answer");
            assert_eq!(status.get(), server.status());
        }
        answers(&to_driver)
    };
    assert_eq!(send(vec![STARTUP.to_vec()]).len(), 1);
    assert_eq!(send(vec![prepared()]).len(), 1);
    for burst in bursts {
        let mut got = send(burst.iter().map(|ask| ask.bytes()).collect());
        assert_eq!(got.len(), burst.len(), "an answer for each request");
        for (ask, answer) in burst.iter().zip(&mut got) {
            let commit = matches!(ask, Ask::Commit | Ask::CommitUnnamed | Ask::Simple("COMMIT"));
            if commit && answer.rolled_back {
                assert!(answer.failed || !wire, "the wire turns it into an error");
                answer.failed = true;
            }
            if answer.failed {
                *answer = Answer { failed: true, ..Answer::default() };
            }
        }
        let failed = got.iter().any(|answer| answer.failed);
        seen.append(&mut got);
        if failed {
            assert!(!send(vec![Ask::Simple("ROLLBACK").bytes()])[0].failed);
        }
    }
    Seen { answers: seen, server }
}

fn tags(list: &[Answer]) -> Vec<String> {
    let show = |answer: &Answer| {
        if answer.failed { "!".to_owned() } else { String::from_utf8_lossy(&answer.tags).into() }
    };
    list.iter().map(show).collect()
}

#[test]
fn a_transaction_is_one_group() {
    use Ask::*;
    for (burst, syncs, expected) in [
        (vec![Begin, Set(1), Query(1), Commit], 1, vec!["2C", "2DC", "2DC", "2C"]),
        (vec![Begin, Set(1), Unnamed(0), Commit], 1, vec!["2C", "2DC", "12tTC", "2C"]),
        (vec![BeginUnnamed, Set(1), Prepare], 1, vec!["12tTC", "2DC", "1tT"]),
        (vec![BeginUnnamed, Query(3), CommitUnnamed], 1, vec!["12tTC", "2DDDC", "12tTC"]),
        // Everything after the error fails, and COMMIT with it.
        (vec![Begin, Fail, Query(1), Query(1), Commit], 1, vec!["2C", "!", "!", "!", "!"]),
        (vec![Begin, Set(1), PrepareBad, Commit], 1, vec!["2C", "2DC", "!", "!"]),
        // A simple query is no part of a group.
        (vec![Begin, Set(1), Simple("COMMIT")], 1, vec!["2C", "2DC", "C"]),
        (vec![Begin, Fail, Simple("COMMIT")], 1, vec!["2C", "!", "!"]),
        // What closes a statement is never skipped.
        (vec![Begin, Close, Query(1), Commit], 3, vec!["2C", "3", "2DC", "2C"]),
        (vec![Begin, Fail, Close, Commit], 3, vec!["2C", "!", "3", "!"]),
        // Outside of a transaction each request stands for itself.
        (vec![Query(1), Fail, Query(1)], 3, vec!["2DC", "!", "2DC"]),
        (vec![Commit, Query(1)], 2, vec!["2C", "2DC"]),
    ] {
        let seen = talk(std::slice::from_ref(&burst), &[4096], &[false], false, true);
        assert_eq!(tags(&seen.answers), expected, "{burst:?}");
        assert_eq!(seen.server.syncs, 1 + syncs, "{burst:?}");
    }
}

#[test]
fn what_was_flushed_early_ends_with_a_sync() {
    let burst = vec![Ask::Begin, Ask::Set(1), Ask::Query(1), Ask::Commit];
    let seen = talk(&[burst], &[4096], &[true, false, false], false, true);
    assert_eq!(tags(&seen.answers), ["2C", "2DC", "2DC", "2C"]);
    assert_eq!(seen.server.syncs, 1 + 2);
    assert_eq!(seen.server.ran, [1]);
}

#[test]
fn a_request_for_tls_passes_before_the_login() {
    let mut folding = Folding::default();
    let (mut out, mut insert) = (BytesMut::new(), BytesMut::new());
    let status = TxStatus::default();
    let request = b"\0\0\0\x08\x04\xd2\x16\x2f";
    folding.write(request, &mut out).expect("sound");
    assert_eq!(out.split(), request[..]);
    assert_eq!(folding.read(b"N", &mut insert, &status).expect("sound"), 1);
    folding.write(STARTUP, &mut out).expect("sound");
    assert_eq!(out.split(), *STARTUP);
    let ready = message(b'Z', b"I");
    assert!(!status.is_idle());
    assert_eq!(folding.read(&ready, &mut insert, &status).expect("sound"), ready.len());
    assert!(insert.is_empty() && status.is_idle());
}

/// The last words of a connection that Postgres ends.
#[test]
fn an_end_of_the_connection_is_told_once() {
    let mut folding = Folding::default();
    let (mut out, mut insert) = (BytesMut::new(), BytesMut::new());
    let status = TxStatus::default();
    let mut server = Server::default();
    let mut answer = Vec::new();
    folding.write(&[STARTUP, &prepared()].concat(), &mut out).expect("sound");
    server.take(&out.split(), &mut answer);
    assert_eq!(folding.read(&answer, &mut insert, &status).expect("sound"), answer.len());
    let fatal = message(b'E', b"SFATAL\0C57P01\0\0");
    for ask in [Ask::Begin, Ask::Query(1), Ask::Commit] {
        folding.write(&ask.bytes(), &mut out).expect("sound");
    }
    assert_eq!(folding.read(&fatal, &mut insert, &status).expect("sound"), fatal.len());
    assert_eq!(folding.read(&fatal, &mut insert, &status).expect("sound"), fatal.len());
    assert!(insert.is_empty());
    // Anything else is not believed.
    let row = message(b'D', &[0, 0]);
    assert!(folding.read(&row, &mut insert, &status).is_err());
}

fn work() -> impl Strategy<Value = Ask> {
    prop_oneof![
        4 => prop_oneof![Just(Ask::Set(1)), Just(Ask::Set(2))],
        4 => prop_oneof![Just(Ask::Query(0)), Just(Ask::Query(1)), Just(Ask::Query(3))],
        2 => prop_oneof![Just(Ask::Unnamed(0)), Just(Ask::Unnamed(3))],
        1 => prop_oneof![Just(Ask::Fail), Just(Ask::PrepareBad)],
        2 => prop_oneof![Just(Ask::Prepare), Just(Ask::Close)],
    ]
}

/// A transaction, one that is left open, or requests without one.
fn burst() -> impl Strategy<Value = Vec<Ask>> {
    let begin = prop_oneof![
        4 => Just(Some(Ask::Begin)),
        2 => Just(Some(Ask::BeginUnnamed)),
        1 => Just(None),
    ];
    let end = prop_oneof![
        4 => Just(Some(Ask::Commit)),
        2 => Just(Some(Ask::CommitUnnamed)),
        1 => Just(Some(Ask::Simple("COMMIT"))),
        1 => Just(Some(Ask::Simple("ROLLBACK"))),
        1 => Just(Some(Ask::Simple("other"))),
        1 => Just(None),
    ];
    (begin, proptest::collection::vec(work(), 1..6), end)
        .prop_map(|(begin, work, end)| begin.into_iter().chain(work).chain(end).collect())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, ..ProptestConfig::default() })]

    #[test]
    fn the_wire_changes_nothing(
        bursts in proptest::collection::vec(burst(), 1..5),
        sizes in proptest::collection::vec(1usize..40, 1..6),
        flushes in proptest::collection::vec(proptest::bool::weighted(0.2), 1..7),
        noisy: bool,
    ) {
        let without = talk(&bursts, &[4096], &[false], noisy, false);
        let with = talk(&bursts, &sizes, &flushes, noisy, true);
        prop_assert_eq!(tags(&with.answers), tags(&without.answers));
        prop_assert_eq!(with.server.ran, without.server.ran);
        prop_assert!(with.server.syncs <= without.server.syncs);
    }

    #[test]
    fn no_bytes_make_it_panic(
        written in proptest::collection::vec(any::<u8>(), 0..300),
        read in proptest::collection::vec(any::<u8>(), 0..300),
        sizes in proptest::collection::vec(1usize..40, 1..6),
    ) {
        let mut folding = Folding::default();
        let (mut out, mut insert) = (BytesMut::new(), BytesMut::new());
        let status = TxStatus::default();
        let begun = [STARTUP, &prepared(), &Ask::Begin.bytes(), &Ask::Set(1).bytes()].concat();
        folding.write(&begun, &mut out).expect("sound");
        for piece in pieces(&written, &sizes) {
            if folding.write(piece, &mut out).is_err() {
                break;
            }
        }
        let start = message(b'Z', b"I");
        for mut piece in pieces(&[start.as_slice(), &read].concat(), &sizes) {
            while !piece.is_empty() {
                match folding.read(piece, &mut insert, &status) {
                    Ok(taken) => split(&mut piece, taken),
                    Err(_) => return Ok(()),
                };
                insert.clear();
            }
        }
    }
}

/// The same through the stream itself, with little room on both sides.
#[tokio::test]
async fn streams_with_little_room_carry_everything() {
    let (near, mut far) = tokio::io::duplex(17);
    let status = Arc::new(TxStatus::default());
    let mut wire = Wire::new(near, status.clone());
    let server = async move {
        let mut server = Server::default();
        let mut buffer = [0; 13];
        while let Ok(read @ 1..) = far.read(&mut buffer).await {
            let mut out = Vec::new();
            server.take(&buffer[..read], &mut out);
            far.write_all(&out).await.expect("read");
        }
        server
    };
    let driver = async move {
        let (mut reader, mut writer) = tokio::io::split(&mut wire);
        let transaction = [Ask::Begin, Ask::Set(2), Ask::Query(3), Ask::Commit];
        let writing = async {
            writer.write_all(STARTUP).await.expect("written");
            writer.write_all(&prepared()).await.expect("written");
            for _ in 0..5 {
                for ask in transaction {
                    writer.write_all(&ask.bytes()).await.expect("written");
                }
                writer.flush().await.expect("flushed");
            }
        };
        let reading = async {
            let mut all = Vec::new();
            let mut buffer = [0; 11];
            while all.windows(6).filter(|w| w.starts_with(b"Z\0\0\0\x05")).count() < 22 {
                let read = reader.read(&mut buffer).await.expect("readable");
                assert!(read > 0, "the server is there");
                all.extend_from_slice(&buffer[..read]);
            }
            all
        };
        let ((), all) = tokio::join!(writing, reading);
        let shown = tags(&answers(&all));
        assert_eq!(shown.len(), 22);
        for group in shown[2..].chunks(4) {
            assert_eq!(group, ["2C", "2DC", "2DDDC", "2C"]);
        }
        assert!(status.is_idle());
    };
    let (server, ()) = tokio::join!(server, driver);
    assert_eq!((server.syncs, server.ran), (6, vec![2; 5]));
}
