//! What agents do all day, with real programs: each chore succeeds only if the origin got the real
//! credential and the client the right bytes. The same chores run with and without the appliance, so
//! that a failure with it is its own.

use std::fs;
use std::io::{Read, Write};
use std::path::Path;
use std::time::Duration;

use crate::lab::Way;
use crate::world::World;

/// Clones `acme/site`, adds `megabytes` of random data, pushes a branch, clones it again, compares.
pub fn clone_and_push(world: &World, way: Way, megabytes: u64) {
    let client = world.lab.client(way);
    let folder = world.lab.scratch(&format!("git-{way:?}-{megabytes}"));
    let (work, again) = (folder.join("work"), folder.join("again"));
    let url = "https://github.com/acme/site.git";
    let branch = format!("work-{way:?}-{megabytes}").to_lowercase();
    client.git().args(["clone", "-q", url]).arg(&work).run().success();
    assert!(work.join("README").exists());
    // Several files, so that the pack is streamed and not one object.
    for part in 0..4 {
        random_file(&work.join(format!("data-{part}")), megabytes << 18);
    }
    client.git().dir(&work).args(["checkout", "-q", "-b", &branch]).run().success();
    client.git().dir(&work).args(["-c", "core.compression=1", "add", "."]).run().success();
    client.git().dir(&work).args(["commit", "-qm", "Data"]).run().success();
    // libcurl-gnutls 7.88, which this git uses, now and then sends a buffer of 64 KiB twice when an
    // HTTP/2 window is full: seen with nginx and no appliance. Pushes go over HTTP/1.1.
    let push = client.git().dir(&work).args(["-c", "http.version=HTTP/1.1"]);
    let push = push.args(["-c", "core.compression=1", "-c", "pack.window=0"]);
    push.args(["push", "-q", "origin", &branch]).run().success();
    let commit = client.git().dir(&work).args(["rev-parse", "HEAD"]).run().success();
    client.git().args(["clone", "-q", "--branch", &branch, url]).arg(&again).run().success();
    let cloned = client.git().dir(&again).args(["rev-parse", "HEAD"]).run().success();
    assert_eq!(cloned, commit);
    for part in 0..4 {
        let name = format!("data-{part}");
        assert_eq!(fs::read(work.join(&name)).unwrap(), fs::read(again.join(&name)).unwrap());
    }
    fs::remove_dir_all(&folder).expect("clear");
}

/// `gh api`: REST, with and without jq, a body, and GraphQL.
pub fn gh_api(world: &World, way: Way) {
    let client = world.lab.client(way);
    assert_eq!(client.gh().args(["api", "user", "--jq", ".login"]).run().success().trim(), "lab");
    let repository = client.gh().args(["api", "repos/acme/site"]).run().success();
    assert!(repository.contains("acme/site"), "{repository}");
    let query = "query={viewer{login}}";
    let answer = client.gh().args(["api", "graphql", "-f", query]).run().success();
    assert!(answer.contains("\"login\":\"lab\""), "{answer}");
    // A body from a pipe has no length: chunked, or HTTP/2 without one.
    let issue = ["api", "-X", "POST", "repos/acme/site/issues", "--input", "-"];
    client.gh().args(issue).stdin("{\"title\":\"x\"}").run().success();
}

/// curl in one version of HTTP: GET, HEAD, a PUT that expects 100, chunks, 204, 304, trailers.
pub fn curl(world: &World, way: Way, version: &str) {
    let client = world.lab.client(way);
    let token = format!("Authorization: Bearer {}", client.token("github"));
    let base = "https://api.github.com";
    let curl = || client.curl().args([version, "-H", &token]);
    let code = ["-o", "/dev/null", "-w", "%{http_version} %{http_code} %{size_download}"];
    let spoken = if version == "--http2" { "2" } else { "1.1" };

    let user = curl().arg(format!("{base}/user")).run().success();
    assert!(user.contains("\"login\":\"lab\""), "{user}");
    let ask = |path: &str| curl().args(code).arg(format!("{base}{path}")).run().success();
    assert_eq!(ask("/204"), format!("{spoken} 204 0"));
    assert_eq!(ask("/304"), format!("{spoken} 304 0"));
    assert!(ask("/404").starts_with(&format!("{spoken} 404 ")));
    let head = curl().args(["--head", "-w", "%{http_code}"]).arg(format!("{base}/user"));
    assert!(head.run().success().ends_with("200"));
    let trailers = curl().args(["-i", "-H", "TE: trailers"]).arg(format!("{base}/trailers"));
    assert!(trailers.run().success().contains("body"));

    let body = world.lab.scratch(&format!("curl-{way:?}{version}")).join("body");
    random_file(&body, 3 << 20);
    world.api.memory.forget();
    let put = curl().arg("-T").arg(&body).arg(format!("{base}/repos/acme/site/contents"));
    put.run().success();
    assert_eq!(world.api.memory.recall().uploaded, 3 << 20);
    let piped = curl().args(["-T", "-"]).arg(format!("{base}/repos/acme/site/contents"));
    piped.stdin(fs::read(&body).expect("read")).run().success();
    assert_eq!(world.api.memory.recall().uploaded, 6 << 20);
    // One connection, several requests.
    let many: Vec<String> = (0..5).map(|number| format!("{base}/user?n={number}")).collect();
    assert_eq!(curl().args(many).run().success().matches("\"lab\"").count(), 5);
}

/// requests, which speaks HTTP/1.1 and sends a chunked body.
pub fn requests(world: &World, way: Way) {
    let client = world.lab.client(way);
    let args = ["https://api.github.com", &client.token("github")];
    let said = client.python("requests_get.py", "REQUESTS_CA_BUNDLE").args(args).run().success();
    assert_eq!(said.trim(), "lab lab");
}

/// httpx, fifty requests at once on HTTP/2.
pub fn httpx(world: &World, way: Way) {
    let client = world.lab.client(way);
    let args = ["https://api.github.com", &client.token("github")];
    let said = client.python("httpx_h2.py", "SSL_CERT_FILE").args(args).run().success();
    assert_eq!(said.trim(), "HTTP/2 50");
}

/// Node's fetch.
pub fn fetch(world: &World, way: Way) {
    let client = world.lab.client(way);
    let args = ["https://api.github.com", &client.token("github")];
    assert_eq!(client.node("fetch.mjs").args(args).run().success().trim(), "200 lab");
}

/// `pip install` of a wheel and of an sdist.
pub fn pip(world: &World, way: Way) {
    let client = world.lab.client(way);
    let target = world.lab.scratch(&format!("pip-{way:?}"));
    client.pip_install(&target).arg("labpkg").run().success();
    assert!(target.join("labpkg.py").exists());
    let from_source = ["--no-binary", ":all:", "--no-build-isolation", "labsource"];
    client.pip_install(&target).args(from_source).run().success();
    assert!(target.join("labsource.py").exists());
}

/// `npm install` of a plain and of a scoped package.
pub fn npm(world: &World, way: Way) {
    let folder = world.lab.scratch(&format!("npm-{way:?}"));
    let client = world.lab.client(way);
    client.npm_install(&folder).args(["labpkg", "@acme/labpkg"]).run().success();
    for package in ["labpkg", "@acme/labpkg"] {
        let installed = folder.join("node_modules").join(package).join("index.js");
        assert!(fs::read_to_string(installed).expect("installed").contains(package));
    }
}

/// A WebSocket with a text and a megabyte, there and back.
pub fn websocket(world: &World, way: Way) {
    let client = world.lab.client(way);
    let args = ["wss://socket.example/echo", &client.token("socket"), "1000000"];
    let said = client.python("websocket.py", "SSL_CERT_FILE").args(args).run().success();
    assert_eq!(said.trim(), "echoed 1000000");
}

/// A WebSocket whose client offers compression, on an origin that would compress.
pub fn compressed_websocket(world: &World, way: Way) {
    let client = world.lab.client(way);
    let args = ["wss://socket.example/echo", &client.token("socket"), "300000"];
    let said = client.python("websocket.py", "SSL_CERT_FILE").env("OFFER", "1").args(args).run().success();
    assert_eq!(said.trim(), "echoed 300000\nextensions: None");
}

/// The WebSocket of Node, which offers compression by itself.
pub fn node_websocket(world: &World, way: Way) {
    let client = world.lab.client(way);
    let node = client.node("websocket.mjs").env("NODE_OPTIONS", "--experimental-websocket --no-warnings");
    let said = node.args(["wss://socket.example/echo", &client.token("socket")]).run().success();
    assert_eq!(said.trim(), "echoed 100000 with extensions ''");
}

/// An origin that shows the credential in its frames, in every way that it can be cut: the agent gets the stub, filled up.
pub fn reflecting_websocket(world: &World, way: Way) {
    let client = world.lab.client(way);
    let args = ["wss://socket.example/echo", &client.token("socket"), "10"];
    let said = client.python("websocket.py", "SSL_CERT_FILE").env("REFLECT", "1").args(args).run().success();
    let secret = world.lab.secret("socket");
    let length = secret.len();
    let replaced = format!("Bearer {:*<length$}", client.token("socket"));
    assert!(said.lines().any(|line| line == replaced), "{said}");
    for line in said.lines().skip(1) {
        assert_eq!(line.len(), replaced.len(), "{line}");
        // Where the origin paused inside of it, its first bytes may have gone already.
        let shown = secret.as_bytes().windows(8).find(|part| line.as_bytes().windows(8).any(|seen| seen == *part));
        assert_eq!(shown, None, "{line}");
    }
}

/// Messages over a NATS server that is reached as `wss://`.
pub fn nats(world: &World, way: Way) {
    let client = world.lab.client(way);
    let args = ["wss://bus.example:443", "2000", "5000000"];
    let said = client.python("nats_wss.py", "SSL_CERT_FILE").args(args).run().success();
    assert_eq!(said.trim(), "heard 2000 and 5000000");
}

/// A hundred WebSockets, each opened when the one before was closed.
pub fn websockets_in_a_row(world: &World, way: Way) {
    let client = world.lab.client(way);
    let args = ["wss://socket.example/echo", &client.token("socket"), "10"];
    let python = client.python("websocket.py", "SSL_CERT_FILE").env("BEFORE", "100");
    assert_eq!(python.args(args).run().success().trim(), "echoed 10");
}

/// Server-sent events: each arrives before the next is sent.
pub fn events(world: &World, way: Way, version: &str) {
    let client = world.lab.client(way);
    let token = format!("Authorization: Bearer {}", client.token("live"));
    let curl = client.program("curl", "CURL_CA_BUNDLE").args(["-sSN", version, "-H", &token]);
    let reader = curl.arg("https://live.example/events").spawn();
    wait_until(|| world.live.listeners() > 0);
    for number in 0..5 {
        world.live.event(&format!("tick {number}"));
        let heard = reader.line(Duration::from_secs(5));
        assert_eq!(heard.as_deref(), Some(&*format!("data: tick {number}")), "{}", reader.errors());
        assert_eq!(reader.line(Duration::from_secs(5)).as_deref(), Some(""));
    }
    drop(reader);
    wait_until(|| world.live.listeners() == 0);
}

/// A download of zeros.
pub fn download(world: &World, way: Way, version: &str, file: &str, size: u64) {
    let code = ["-o", "/dev/null", "-w", "%{http_code} %{size_download}", "--max-time", "280"];
    let curl = world.lab.client(way).curl().args(code).args([version]).seconds(300);
    let said = curl.arg(format!("https://zeros.example/{file}")).run().success();
    assert_eq!(said, format!("200 {size}"));
}

/// An upload of zeros, from a file that takes no room.
pub fn upload(world: &World, way: Way, version: &str, size: u64) {
    let body = world.lab.scratch(&format!("upload-{way:?}")).join("body");
    fs::File::create(&body).expect("file").set_len(size).expect("a sparse file");
    world.sink.memory.forget();
    let code = ["-o", "/dev/null", "-w", "%{http_code} %{size_upload}", "--max-time", "280"];
    let curl = world.lab.client(way).curl().args(code).args([version]).seconds(300);
    let said = curl.arg("-T").arg(&body).arg("https://sink.example/put").run().success();
    assert_eq!(said, format!("200 {size}"));
    assert_eq!(world.sink.memory.recall().uploaded, size);
    fs::remove_file(&body).expect("clear");
}

fn random_file(path: &Path, size: u64) {
    let source = fs::File::open("/dev/urandom").expect("urandom");
    let mut file = fs::File::create(path).expect("file");
    std::io::copy(&mut source.take(size), &mut file).expect("copy");
    file.flush().expect("flush");
}

fn wait_until(so: impl Fn() -> bool) {
    let deadline = std::time::Instant::now() + Duration::from_secs(10);
    while !so() {
        assert!(std::time::Instant::now() < deadline, "waited in vain");
        std::thread::sleep(Duration::from_millis(10));
    }
}
