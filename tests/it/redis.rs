//! Vector sets of a real Redis 8, and servers that are none, too old, full, slow, or die.
//!
//! The real one is Debian's, unpacked by `tests/redis-server.sh`; where that cannot be had the tests say SKIPPED.

use std::fs;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use knnscope::compute::Error;
use knnscope::compute::index::candidate::Candidate;
use knnscope::compute::index::session::{Lab, Options};
use knnscope::compute::index::truth::Question;
use knnscope::compute::metric::Metric;
use knnscope::job::{Job, Monitor};
use serde_json::Value;

use crate::support::{Random, checkout, command, skip, stderr, text, write_vectors};

const DIM: usize = 16;
const PASSWORD: &str = "open sesame/@:%";

/// Whether the real server can be had; says so if not.
fn can_have(test: &str) -> bool {
    static WHY_NOT: OnceLock<Option<String>> = OnceLock::new();
    let why_not = WHY_NOT.get_or_init(|| {
        let output = Command::new(checkout("tests/redis-server.sh")).arg("get").output().expect("the script starts");
        let told = stderr(&output);
        (!output.status.success()).then(|| told.lines().last().unwrap_or("it says nothing").to_owned())
    });
    if let Some(why) = why_not {
        skip(test, why);
    }
    why_not.is_none()
}

/// A real server; killed when dropped.
struct Server {
    folder: tempfile::TempDir,
    child: Child,
    port: u16,
    tls_port: Option<u16>,
    password: Option<&'static str>,
}

impl Drop for Server {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).expect("a free port").port()
}

impl Server {
    fn start(password: Option<&'static str>, tls: bool, options: &[&str]) -> Self {
        let folder = tempfile::tempdir().expect("temporary folder");
        let (port, tls_port) = (free_port(), tls.then(free_port));
        let mut script = Command::new(checkout("tests/redis-server.sh"));
        script.args(["run", text(folder.path()), "--port", &port.to_string()]).args(options);
        if let Some(port) = tls_port {
            script.args(["--tls-port", &port.to_string()]);
        }
        if let Some(password) = password {
            script.args(["--requirepass", password]);
        }
        let log = fs::File::create(folder.path().join("log")).expect("a log");
        let child = script.stdout(log.try_clone().expect("the log twice")).stderr(log).spawn().expect("started");
        let server = Self { folder, child, port, tls_port, password };
        let started = Instant::now();
        while TcpStream::connect(("127.0.0.1", tls_port.unwrap_or(port))).is_err() {
            let log = || fs::read_to_string(server.folder.path().join("log")).unwrap_or_default();
            assert!(started.elapsed() < Duration::from_secs(20), "the server does not start: {}", log());
            std::thread::sleep(Duration::from_millis(20));
        }
        server
    }

    fn address(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    /// A command of words, as text; answers as RESP writes them.
    fn ask(&self, words: &[&str]) -> String {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).expect("connected");
        let packed = |words: &[&str]| {
            let each = words.iter().map(|word| format!("${}\r\n{word}\r\n", word.len())).collect::<String>();
            format!("*{}\r\n{each}", words.len())
        };
        let mut sent = String::new();
        if let Some(password) = self.password {
            sent += &packed(&["AUTH", password]);
        }
        sent += &packed(words);
        sent += &packed(&["QUIT"]);
        stream.write_all(sent.as_bytes()).expect("sent");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("answered");
        let answer = if self.password.is_some() { answer.split_once("\r\n").expect("AUTH").1 } else { &answer };
        answer.strip_suffix("+OK\r\n").unwrap_or(answer).trim_end().to_owned()
    }

    /// Names of all keys, sorted.
    fn keys(&self) -> Vec<String> {
        let answer = self.ask(&["KEYS", "*"]);
        let mut keys: Vec<String> =
            answer.lines().filter(|line| !line.starts_with(['*', '$'])).map(|line| line.trim().to_owned()).collect();
        keys.sort();
        keys
    }
}

/// Docs and queries in a folder.
struct Data {
    folder: tempfile::TempDir,
    docs: usize,
    dim: usize,
}

impl Data {
    fn of(docs: usize, dim: usize) -> Self {
        let folder = tempfile::tempdir().expect("temporary folder");
        let mut random = Random::new(11);
        for (name, rows) in [("docs.vec", docs), ("queries.vec", 50)] {
            write_vectors(&folder.path().join(name), &random.values(rows * dim));
        }
        Self { folder, docs, dim }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// `knnscope index search` into the session `name`, with variables of the environment.
    fn search(&self, name: &str, flags: &[&str], variables: &[(&str, &str)]) -> Output {
        let (docs, queries, dim) = (self.path("docs.vec"), self.path("queries.vec"), self.dim.to_string());
        let (session, json) = (self.path(name), self.path("lines.json"));
        let start = ["index", "search", "--docs", text(&docs), "--queries", text(&queries), "--dim", &dim];
        let more = ["--top-k", "10", "-o", text(&session), "--json", text(&json), "--quiet"];
        let threads: &[&str] = if flags.contains(&"--threads") { &[] } else { &["--threads", "2"] };
        let mut command = command(&[&start[..], &more, threads, flags].concat());
        for name in ["KNNSCOPE_REDIS_PASSWORD", "KNNSCOPE_REDIS_USERNAME", "KNNSCOPE_REDIS_TIMEOUT", "SSL_CERT_FILE"] {
            command.env_remove(name);
        }
        command.envs(variables.iter().copied()).output().expect("started")
    }

    fn lines(&self) -> Vec<Value> {
        serde_json::from_str(&fs::read_to_string(self.path("lines.json")).expect("written")).expect("JSON")
    }
}

fn recall(line: &Value) -> f64 {
    line["recall"].as_array().and_then(|list| list.last()).and_then(|last| last["mean"].as_f64()).expect("a recall")
}

/// All that is in the files of a folder.
fn contents(folder: &Path) -> String {
    let mut all = String::new();
    for entry in fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("read").path();
        all += &match path.is_dir() {
            true => contents(&path),
            false => String::from_utf8_lossy(&fs::read(&path).expect("read")).into_owned(),
        };
        all += text(&path);
    }
    all
}

#[test]
fn vector_sets_are_loaded_judged_and_removed_and_nothing_else_is_touched() {
    if !can_have("vector_sets_are_loaded_judged_and_removed_and_nothing_else_is_touched") {
        return;
    }
    let (server, data) = (Server::start(Some(PASSWORD), false, &[]), Data::of(1500, DIM));
    // Under names like ours, too.
    let planted = ["knnscope", "knnscope:", "knnscope:0123456789abcdef0123456789abcdef:docs", "other"];
    for key in planted {
        assert_eq!(server.ask(&["SET", key, "mine"]), "+OK");
    }
    let at = server.address();
    let index = |quant: &str| format!("{at}:quant={quant}:M=8:efConstruction=100:efSearch=10,400:truth=0,1");
    let indexes = ["fp32", "q8", "bin"].map(index);
    let mut flags = vec!["--metric", "cosine"];
    indexes.iter().for_each(|index| flags.extend(["--index", index]));
    let output = data.search("lab", &flags, &[("KNNSCOPE_REDIS_PASSWORD", PASSWORD)]);
    assert!(output.status.success(), "{}", stderr(&output));
    let lines = data.lines();
    assert_eq!(lines.len(), 9);
    let of = |quant: &str, setting: &str| {
        let name = format!("{at}/0:quant={quant}:M=8:efConstruction=100");
        let line = lines.iter().find(|line| line["index"] == name.as_str() && line["setting"] == setting);
        recall(line.unwrap_or_else(|| panic!("{name} {setting} in {lines:?}")))
    };
    // Its own exact scan is exact on whole vectors, and only loses by what quantising lost.
    assert_eq!(of("fp32", "truth=1"), 1.0);
    assert!(of("fp32", "efSearch=10") < of("fp32", "efSearch=400") && of("fp32", "efSearch=400") > 0.97);
    assert!(of("q8", "truth=1") > 0.9 && of("q8", "truth=1") < 1.0, "{}", of("q8", "truth=1"));
    assert!(of("bin", "truth=1") < 0.8, "{}", of("bin", "truth=1"));
    // Memory as the server tells it: whole vectors take more than bytes.
    let memory = |quant: &str| {
        let line = lines.iter().find(|line| line["index"].as_str().is_some_and(|name| name.contains(quant)));
        line.and_then(|line| line["memoryBytes"].as_u64()).expect("told")
    };
    assert!(memory("quant=fp32") > memory("quant=q8") + 1500 * 2 * DIM as u64, "a byte instead of four");
    let mut expected = planted.map(str::to_owned);
    expected.sort();
    assert_eq!(server.keys(), expected);
    // Why: what its exact scan loses, too, is lost by its codes; the rest by the graph.
    let why = |quant: &str, setting: &str| {
        let (session, json) = (data.path("lab"), data.path("why.json"));
        let index = format!("{at}/0:quant={quant}:M=8:efConstruction=100");
        let flags = ["--index", &index, "--setting", setting, "--json", text(&json), "--quiet"];
        let mut command = command(&[&["index", "why", text(&session)], &flags[..]].concat());
        let output = command.env("KNNSCOPE_REDIS_PASSWORD", PASSWORD).output().expect("started");
        assert!(output.status.success(), "{}", stderr(&output));
        fs::read_to_string(json).expect("written")
    };
    let (whole, codes) = (why("fp32", "efSearch=10"), why("bin", "truth=1"));
    assert!(whole.contains("graph_not_reached") && !whole.contains("quantisation"), "{whole}");
    assert!(codes.contains("quantisation") && !codes.contains("graph_not_reached"), "{codes}");
    assert!(!whole.contains("cannot be told") && !codes.contains("cannot be told"));
    assert_eq!(server.keys(), expected);
    for key in planted {
        assert_eq!(server.ask(&["GET", key]), "$4\r\nmine");
    }
    let kept = contents(&data.path("lab"));
    assert!(!kept.contains("sesame") && kept.contains("quant=q8"), "no password in the session");
}

#[test]
fn passwords_in_the_address_work_and_stay_out_of_everything() {
    if !can_have("passwords_in_the_address_work_and_stay_out_of_everything") {
        return;
    }
    let (server, data) = (Server::start(Some(PASSWORD), false, &[]), Data::of(300, DIM));
    let port = server.port;
    let address = |password: &str| format!("redis://default:{password}@127.0.0.1:{port}:M=4");
    let encoded = address("open%20sesame/%40:%25");
    let output = data.search("lab", &["--metric", "cosine", "--index", &encoded], &[]);
    assert!(output.status.success(), "{}", stderr(&output));
    assert!(recall(&data.lines()[0]) > 0.5);
    assert!(!contents(data.folder.path()).contains("sesame"));
    let wrong = address("guessed-secret");
    for (flags, told) in [
        (vec!["--index", wrong.as_str()], "refuses this password or user"),
        (vec!["--index", &server.address()], "wants a password. Put it into KNNSCOPE_REDIS_PASSWORD"),
        (vec!["--index", "redis://u:guessed-secret@h:port"], "an address like redis://"),
    ] {
        let output = data.search("other", &[&["--metric", "cosine"], &flags[..]].concat(), &[]);
        let message = stderr(&output);
        assert!(!output.status.success() && message.contains(told), "{message}");
        assert!(!message.contains("guessed-secret") && !message.contains("sesame"), "{message}");
    }
}

#[test]
fn tls_is_spoken_and_strangers_are_not_trusted() {
    if !can_have("tls_is_spoken_and_strangers_are_not_trusted") {
        return;
    }
    let (server, data) = (Server::start(Some(PASSWORD), true, &[]), Data::of(300, DIM));
    let at = format!("rediss://127.0.0.1:{}:M=4", server.tls_port.expect("TLS"));
    let authority = server.folder.path().join("ca.crt");
    let login = ("KNNSCOPE_REDIS_PASSWORD", PASSWORD);
    let flags = ["--metric", "cosine", "--index", &at];
    let output = data.search("lab", &flags, &[login, ("SSL_CERT_FILE", text(&authority))]);
    assert!(output.status.success(), "{}", stderr(&output));
    let output = data.search("other", &flags, &[login]);
    assert!(
        !output.status.success() && stderr(&output).contains("certificate that is not trusted"),
        "{}",
        stderr(&output)
    );
    // Each spoken to in the other's language.
    let plain = format!("redis://127.0.0.1:{}", server.tls_port.expect("TLS"));
    let secret = format!("rediss://127.0.0.1:{}", server.port);
    for index in [plain, secret] {
        let output =
            data.search("other", &["--metric", "cosine", "--index", &index], &[login, ("KNNSCOPE_REDIS_TIMEOUT", "2")]);
        assert!(!output.status.success() && stderr(&output).contains("rediss://"), "{}", stderr(&output));
    }
}

#[test]
fn only_unit_norms_rank_alike_by_other_metrics() {
    if !can_have("only_unit_norms_rank_alike_by_other_metrics") {
        return;
    }
    let (server, data) = (Server::start(None, false, &[]), Data::of(400, DIM));
    let index = format!("{}:quant=fp32:truth=1", server.address());
    let output = data.search("lab", &["--metric", "euclidean", "--index", &index], &[]);
    assert_eq!(output.status.code(), Some(2), "{}", stderr(&output));
    assert!(stderr(&output).contains("doc 0 has norm"), "{}", stderr(&output));
    let bytes = fs::read(data.path("docs.vec")).expect("read");
    let mut values: Vec<f32> = bytes.as_chunks::<4>().0.iter().map(|value| f32::from_le_bytes(*value)).collect();
    for doc in values.chunks_exact_mut(DIM) {
        let norm = doc.iter().map(|value| value * value).sum::<f32>().sqrt();
        doc.iter_mut().for_each(|value| *value /= norm);
    }
    write_vectors(&data.path("docs.vec"), &values);
    for metric in ["dot", "euclidean"] {
        let output = data.search(metric, &["--metric", metric, "--index", &index], &[]);
        assert!(output.status.success(), "{}", stderr(&output));
        assert_eq!(recall(&data.lines()[0]), 1.0, "{metric}");
    }
}

#[test]
fn a_full_server_says_so_and_drops_nothing_of_others() {
    if !can_have("a_full_server_says_so_and_drops_nothing_of_others") {
        return;
    }
    let data = Data::of(20_000, 64);
    for (policy, told) in [("noeviction", "is full: "), ("allkeys-lru", "would drop other keys")] {
        let server = Server::start(None, false, &["--maxmemory", "5mb", "--maxmemory-policy", policy]);
        server.ask(&["SET", "other", "mine"]);
        let index = format!("{}:quant=fp32:efConstruction=10", server.address());
        let output = data.search("lab", &["--metric", "cosine", "--index", &index], &[]);
        assert!(!output.status.success() && stderr(&output).contains(told), "{policy}: {}", stderr(&output));
        assert!(stderr(&output).contains("Raise its maxmemory"), "{}", stderr(&output));
        assert_eq!(server.keys(), ["other"], "{policy}");
    }
}

/// A lab over many docs, on a thread, as soon as some are loaded; with the server's key.
fn loading(server: &Server, data: &Data) -> (Job<Result<(), Error>>, String) {
    let question = Question {
        docs: data.path("docs.vec"),
        queries: data.path("queries.vec"),
        dim: data.dim,
        num_docs: Some(data.docs),
        num_queries: None,
        top_k: 10,
        metric: Metric::Cosine,
        memory_budget: 200_000_000,
    };
    let candidate = Candidate::parse(&format!("{}:M=32:efConstruction=400", server.address()), data.dim).expect("read");
    let program = PathBuf::from(env!("CARGO_BIN_EXE_knnscope"));
    let options = Options { builds: 1, seed: 42, threads: 2, memory_bytes: 500_000_000, program };
    let folder = data.path("lab");
    let job = Job::spawn(
        "loading",
        || {},
        move |monitor: &Monitor| {
            let mut lab = Lab::begin(&question, &folder, monitor)?;
            lab.run(&candidate, &options, monitor, &mut |_| {})
        },
    );
    let started = Instant::now();
    loop {
        let keys = server.keys();
        if let Some(key) = keys.iter().find(|key| key.starts_with("knnscope:") && key.ends_with(":docs")) {
            let loaded = server.ask(&["VCARD", key]);
            if loaded.trim_start_matches(':').parse::<usize>().is_ok_and(|loaded| loaded > 100) {
                return (job, key.clone());
            }
        }
        assert!(started.elapsed() < Duration::from_secs(60), "nothing is loaded");
        std::thread::sleep(Duration::from_millis(10));
    }
}

fn outcome(job: Job<Result<(), Error>>) -> Result<(), Error> {
    match job.wait() {
        knnscope::job::Outcome::Done(outcome) => outcome,
        knnscope::job::Outcome::Panicked(why) => panic!("{why}"),
    }
}

#[test]
fn cancelling_removes_the_key_and_the_key_expires_anyway() {
    if !can_have("cancelling_removes_the_key_and_the_key_expires_anyway") {
        return;
    }
    let (server, data) = (Server::start(None, false, &[]), Data::of(30_000, 64));
    server.ask(&["SET", "other", "mine"]);
    let (job, key) = loading(&server, &data);
    let seconds: i64 = server.ask(&["TTL", &key]).trim_start_matches(':').parse().expect("seconds");
    assert!((60..=6 * 3600).contains(&seconds), "{seconds}");
    job.monitor().cancel();
    assert!(matches!(outcome(job), Err(Error::Cancelled)));
    assert_eq!(server.keys(), ["other"]);
    // Nothing that was on its way makes it once more.
    std::thread::sleep(Duration::from_millis(300));
    assert_eq!(server.keys(), ["other"]);
}

#[test]
fn lost_connections_are_made_again_and_dead_servers_are_told() {
    if !can_have("lost_connections_are_made_again_and_dead_servers_are_told") {
        return;
    }
    let (mut server, data) = (Server::start(None, false, &[]), Data::of(4_000, 64));
    let (job, _) = loading(&server, &data);
    for _ in 0..3 {
        server.ask(&["CLIENT", "KILL", "TYPE", "normal"]);
        std::thread::sleep(Duration::from_millis(30));
    }
    outcome(job).expect("loaded all the same");
    assert_eq!(server.keys(), [""; 0]);
    // And one that dies.
    fs::remove_dir_all(data.path("lab")).expect("removed");
    let (job, key) = loading(&server, &data);
    server.child.kill().expect("killed");
    server.child.wait().expect("dead");
    let error = outcome(job).expect_err("dead").to_string();
    assert!(error.contains("is gone in the middle of the work"), "{error}");
    assert!(
        error.contains(&format!("{key} could not be removed")) && error.contains("expires within 6 hours"),
        "{error}"
    );
}

#[test]
fn a_session_removes_what_it_left_and_only_that() {
    if !can_have("a_session_removes_what_it_left_and_only_that") {
        return;
    }
    let (server, data) = (Server::start(None, false, &[]), Data::of(300, DIM));
    let id = "00112233445566778899aabbccddeeff";
    let others = [format!("knnscope:{id}"), format!("knnscope:{id}:docs2")];
    for key in &others {
        server.ask(&["SET", key, "mine"]);
    }
    // Left by a run that was killed: of another kind, so that loading fails unless it is removed.
    server.ask(&["SET", &format!("knnscope:{id}:docs"), "left"]);
    let index = format!("{}:M=4", server.address());
    let flags = ["--metric", "cosine", "--index", index.as_str()];
    assert!(data.search("lab", &["--metric", "cosine", "--index", "exact"], &[]).status.success());
    fs::write(data.path("lab/redis.id"), id).expect("written");
    let output = data.search("lab", &flags, &[]);
    assert!(output.status.success(), "{}", stderr(&output));
    assert_eq!(server.keys(), others);
    // An id that is none never becomes part of a key.
    fs::write(data.path("lab/redis.id"), "*").expect("written");
    let output = data.search("lab", &["--metric", "cosine", "--index", &format!("{index}:efConstruction=10")], &[]);
    assert!(output.status.success(), "{}", stderr(&output));
    assert_eq!(server.keys(), others);
    assert_ne!(fs::read_to_string(data.path("lab/redis.id")).expect("read"), "*");
}

/// A server that says one thing to everything; each word of `answers` to one command, the last for ever.
fn pretend(answers: &'static [&'static str]) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("bound");
    let port = listener.local_addr().expect("bound").port();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            std::thread::spawn(move || {
                let mut stream = stream.expect("accepted");
                let mut buffer = [0; 65536];
                let mut place = 0;
                while let Ok(1..) = stream.read(&mut buffer) {
                    let answer = answers[place.min(answers.len() - 1)];
                    place += 1;
                    if answer.is_empty() {
                        continue;
                    }
                    if stream.write_all(answer.as_bytes()).is_err() {
                        return;
                    }
                }
            });
        }
    });
    port
}

#[test]
fn servers_that_will_not_do_are_told_in_words() {
    let data = Data::of(200, DIM);
    const INFO_7: &str = "$27\r\n# Server\r\nredis_version:7.0\r\n";
    const INFO_8: &str = "$29\r\n# Server\r\nredis_version:8.0.2\r\n";
    const VALKEY: &str = "$59\r\nredis_version:7.2.4\r\nserver_name:valkey\r\nvalkey_version:8.1\r\n";
    let unused = free_port();
    for (port, told) in [
        (unused, "nothing listens at 127.0.0.1"),
        (pretend(&["HTTP/1.1 400 Bad Request\r\n\r\n"]), "is no Redis (its answer is in another language)"),
        (pretend(&[""]), "did not answer in time"),
        (pretend(&["+OK\r\n", INFO_7]), "is Redis 7.0, which has no vector sets. Redis 8 or newer has"),
        (pretend(&["+OK\r\n", VALKEY]), "is valkey 8.1, which has no vector sets"),
        (
            pretend(&["+OK\r\n", INFO_8, "-ERR unknown command 'VCARD', with args\r\n"]),
            "its module vectorset is missing",
        ),
        (pretend(&["+OK\r\n", INFO_8, "-NOPERM no permissions\r\n"]), "forbids it to this user"),
        (pretend(&["+OK\r\n", INFO_8, "-MOVED 1 10.0.0.1:6379\r\n"]), "is part of a cluster"),
        (pretend(&["+OK\r\n", INFO_8, ":0\r\n", "-READONLY replica\r\n"]), "is a replica"),
        (pretend(&["+OK\r\n", INFO_8, "+what?\r\n"]), "makes no sense"),
    ] {
        let index = format!("redis://127.0.0.1:{port}");
        let started = Instant::now();
        let flags = ["--metric", "cosine", "--index", &index, "--threads", "1"];
        let output = data.search("lab", &flags, &[("KNNSCOPE_REDIS_TIMEOUT", "0.5")]);
        assert!(!output.status.success() && stderr(&output).contains(told), "{told}: {}", stderr(&output));
        assert!(started.elapsed() < Duration::from_secs(15), "{told}: {:?}", started.elapsed());
    }
    let output =
        data.search("lab", &["--metric", "cosine", "--index", "redis://127.0.0.1"], &[("KNNSCOPE_REDIS_TIMEOUT", "x")]);
    assert!(stderr(&output).contains("KNNSCOPE_REDIS_TIMEOUT: expected seconds"), "{}", stderr(&output));
    let output = data.search("lab", &["--metric", "cosine", "--index", "redis://no-such-host.invalid"], &[]);
    assert!(stderr(&output).contains("cannot be reached"), "{}", stderr(&output));
}
