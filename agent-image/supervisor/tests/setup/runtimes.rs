//! Runtimes that are on this machine trust the bundle through what setup wrote, and do not without it.

use std::process::Command;

use crate::server::{Server, answer};
use crate::world::{World, has};

/// Runs a program with the variables, and without them.
fn both(world: &World, server: &Server, program: &str, arguments: &[&str]) {
    let address = format!("https://localhost:{}/", server.address.port());
    let with = world.program(program).args(arguments).arg(&address).output().unwrap();
    let said = format!("{}{}", String::from_utf8_lossy(&with.stdout), String::from_utf8_lossy(&with.stderr));
    assert!(with.status.success() && said.contains("trusted"), "{program}: {said}");
    let mut without = Command::new(program);
    world.put_in_place(&mut without);
    let without = without.args(arguments).arg(&address).output().unwrap();
    assert!(!without.status.success(), "{program} trusts anybody");
}

fn world() -> (World, Server) {
    let world = World::new();
    assert_eq!(world.setup().code, Some(0));
    (world, Server::tls(|_| answer("200 OK", "Content-Type: text/plain\r\n", "trusted")))
}

#[test]
fn java_reads_the_key_store() {
    if !has("java") {
        return;
    }
    let (world, server) = world();
    world.file(
        "Ask.java",
        r#"
import java.net.URI;
import java.net.http.*;
public class Ask {
    public static void main(String[] arguments) throws Exception {
        var request = HttpRequest.newBuilder(URI.create(arguments[0])).build();
        System.out.println(HttpClient.newHttpClient().send(request, HttpResponse.BodyHandlers.ofString()).body());
    }
}
"#,
    );
    both(&world, &server, "java", &[world.path("Ask.java").to_str().unwrap()]);
}

#[test]
fn keytool_opens_the_key_store_with_the_usual_password() {
    if !has("keytool") {
        return;
    }
    let (world, _) = world();
    let mut command = Command::new("keytool");
    command.args(["-list", "-storepass", "changeit", "-keystore"]).arg(world.path("trust/java/cacerts"));
    let output = command.output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && said.contains("stubgate-0"), "{said}");
}

#[test]
fn node_fetches() {
    if !has("node") {
        return;
    }
    let (world, server) = world();
    let script = "fetch(process.argv[1]).then(a => a.text()).then(console.log)";
    both(&world, &server, "node", &["-e", script, "--"]);
}

#[test]
fn python_opens() {
    if !has("python3") {
        return;
    }
    let (world, server) = world();
    let script = "import sys, urllib.request; print(urllib.request.urlopen(sys.argv[1]).read())";
    both(&world, &server, "python3", &["-c", script]);
}

#[test]
fn curl_gets() {
    if !has("curl") {
        return;
    }
    let (world, server) = world();
    both(&world, &server, "curl", &["--silent", "--show-error"]);
}
