//! Origins on nginx: git's own HTTP backend, a Python index, a Node registry, files of any size.

use std::fmt::{self, Debug};
use std::path::Path;
use std::process::Command;

use super::{App, Origin, Place};
use crate::client::{python, source};
use crate::program::Running;

/// How nginx serves: given its place, lays out the files and returns `location` blocks and helpers.
type Layout = Box<dyn Fn(&Place) -> (String, Vec<Running>) + Send + Sync>;

/// An nginx of its own for one set of names.
pub struct Nginx {
    names: Vec<String>,
    layout: Layout,
}

impl Debug for Nginx {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Nginx").field("names", &self.names).finish_non_exhaustive()
    }
}

impl Nginx {
    /// nginx with these `location` blocks; its root is the folder of its place.
    pub fn new(name: &str, layout: impl Fn(&Place) -> (String, Vec<Running>) + Send + Sync + 'static) -> Nginx {
        Nginx { names: vec![name.to_owned()], layout: Box::new(layout) }
    }

    /// `git http-backend` over Basic; the user is `x-access-token`, the password `token`. It holds one
    /// repository, `acme/site.git`, that can be pushed to.
    pub fn git(name: &str, token: &str) -> Nginx {
        let token = token.to_owned();
        Nginx::new(name, move |place| {
            demand_basic(&place.dir, "x-access-token", &token);
            shell(&place.dir, &repository("site", "echo lab > README"));
            let gate = format!("auth_basic git; auth_basic_user_file {}/htpasswd;", place.dir.display());
            let (backend, wrapper) = git_backend(place);
            (format!("{gate} location / {{ {} }}", backend("off")), vec![wrapper])
        })
    }

    /// `git http-backend` for whoever shows a token of this app that is good then: `acme/site.git`; `acme/other.git`; and
    /// `acme/large.git` with so many megabytes, of which it sends `rate` a second.
    pub fn git_of_app(name: &str, app: &App, megabytes: u64, rate: u64) -> Nginx {
        let app = app.clone();
        Nginx::new(name, move |place| {
            for (name, content) in [
                ("site", "echo lab > README".to_owned()),
                ("other", "echo other > README".to_owned()),
                ("large", format!("echo lab > README; head -c {megabytes}M /dev/urandom > data")),
            ] {
                shell(&place.dir, &repository(name, &content));
            }
            app.judge(&place.dir.join("judge.sock"));
            let (backend, wrapper) = git_backend(place);
            let locations = format!(
                "location = /judged {{
                   internal; proxy_pass http://unix:{dir}/judge.sock:/; proxy_pass_request_body off;
                   proxy_set_header Content-Length \"\"; proxy_set_header X-Original-URI $request_uri;
                 }}
                 location / {{ auth_request /judged; {quick} }}
                 location /acme/large.git/ {{ auth_request /judged; limit_rate {rate}m; {slow} }}",
                dir = place.dir.display(),
                quick = backend("off"),
                slow = backend("on"),
            );
            (locations, vec![wrapper])
        })
    }

    /// A Python package index (PEP 503) with `labpkg` as a wheel and `labsource` as an sdist, over Basic.
    pub fn python_index(name: &str, token: &str) -> Nginx {
        let token = token.to_owned();
        Nginx::new(name, move |place| {
            build_packages(place, "");
            demand_basic(&place.dir, "__token__", &token);
            let dir = place.dir.display();
            let locations = format!(
                "auth_basic index; auth_basic_user_file {dir}/htpasswd;
                 location / {{ root {dir}/python; index index.html; }}"
            );
            (locations, Vec::new())
        })
    }

    /// A Node registry with `labpkg` and `@acme/labpkg`, for who shows `token` as Bearer.
    pub fn node_registry(name: &str, token: &str) -> Nginx {
        let (token, base) = (token.to_owned(), format!("https://{name}"));
        Nginx::new(name, move |place| {
            build_packages(place, &base);
            let dir = place.dir.display();
            let locations = format!(
                "if ($http_authorization != \"Bearer {token}\") {{ return 401; }}
                 default_type application/json;
                 location / {{ root {dir}/node; try_files $uri $uri/packument.json =404; }}"
            );
            (locations, Vec::new())
        })
    }

    /// Files of zeros, by name and size, taking no room on disk.
    pub fn zeros(name: &str, files: &[(&str, u64)]) -> Nginx {
        let files: Vec<(String, u64)> = files.iter().map(|(file, size)| ((*file).to_owned(), *size)).collect();
        Nginx::new(name, move |place| {
            let root = place.dir.join("files");
            std::fs::create_dir_all(&root).expect("folder");
            for (file, size) in &files {
                let file = std::fs::File::create(root.join(file)).expect("file");
                file.set_len(*size).expect("a sparse file");
            }
            (format!("location / {{ root {}; }}", root.display()), Vec::new())
        })
    }
}

impl Origin for Nginx {
    fn names(&self) -> Vec<String> {
        self.names.clone()
    }

    fn start(&self, place: &Place) -> Vec<Running> {
        let (locations, mut helpers) = (self.layout)(place);
        let dir = place.dir.display();
        let configuration = format!(
            "daemon off; master_process off; user root root; pid {dir}/nginx.pid; error_log {dir}/error.log;
             events {{ worker_connections 1024; }}
             http {{
               types {{ text/html html; application/json json; }} default_type application/octet-stream;
               log_format seen '$server_protocol $request_method $request_uri $status auth=$http_authorization';
               access_log {dir}/access.log seen;
               client_body_temp_path {dir}/body; proxy_temp_path {dir}/proxy;
               fastcgi_temp_path {dir}/fastcgi; uwsgi_temp_path {dir}/uwsgi; scgi_temp_path {dir}/scgi;
               sendfile on; keepalive_timeout 30;
               server {{
                 listen {address}:443 ssl http2; server_name {names};
                 ssl_certificate {certificate}; ssl_certificate_key {key};
                 {locations}
               }}
             }}",
            address = place.address,
            names = self.names.join(" "),
            certificate = place.leaf.certificate.display(),
            key = place.leaf.key.display(),
        );
        let file = place.dir.join("nginx.conf");
        std::fs::write(&file, configuration).expect("write nginx.conf");
        let server = place.node.program("nginx").arg("-p").arg(&place.dir).arg("-c").arg(&file);
        helpers.push(server.spawn());
        helpers
    }
}

/// What runs git behind nginx: directives of a `location`, and the program that they need.
fn git_backend(place: &Place) -> (impl Fn(&str) -> String, Running) {
    let (dir, backend) = (place.dir.display().to_string(), command_output("git", &["--exec-path"]));
    let socket = format!("unix:{dir}/fcgi.sock");
    let wrapper = place.node.program("fcgiwrap").args(["-f", "-c", "4", "-s", &socket]).spawn();
    let directives = move |buffering: &str| {
        format!(
            "client_max_body_size 0;
         fastcgi_pass unix:{dir}/fcgi.sock; fastcgi_read_timeout 300; fastcgi_buffering {buffering};
         fastcgi_param SCRIPT_FILENAME {backend}/git-http-backend;
         fastcgi_param GIT_PROJECT_ROOT {dir}; fastcgi_param GIT_HTTP_EXPORT_ALL 1;
         fastcgi_param PATH_INFO $uri; fastcgi_param REMOTE_USER $remote_user;
         fastcgi_param QUERY_STRING $query_string;
         fastcgi_param REQUEST_METHOD $request_method;
         fastcgi_param CONTENT_TYPE $content_type;
         fastcgi_param CONTENT_LENGTH $content_length;
         fastcgi_param HTTP_CONTENT_ENCODING $http_content_encoding;
         fastcgi_param GIT_PROTOCOL $http_git_protocol;"
        )
    };
    (directives, wrapper)
}

/// Makes `acme/NAME.git`, which can be pushed to, with what `content` writes as its first commit.
fn repository(name: &str, content: &str) -> String {
    format!(
        "git init -q --bare --initial-branch=main acme/{name}.git && \
         git -C acme/{name}.git config http.receivepack true && \
         git -C acme/{name}.git config pack.window 0 && git -C acme/{name}.git config core.compression 0 && \
         git init -q --initial-branch=main seed-{name} && cd seed-{name} && {{ {content}; }} && \
         git -c core.compression=0 add . && git -c user.name=lab -c user.email=lab@lab.example \
         commit -qm 'First' && git -c pack.window=0 -c core.compression=0 push -q ../acme/{name}.git main"
    )
}

fn demand_basic(dir: &Path, user: &str, token: &str) {
    std::fs::write(dir.join("htpasswd"), format!("{user}:{{PLAIN}}{token}\n")).expect("htpasswd");
}

fn build_packages(place: &Place, base: &str) {
    let built = Command::new(python())
        .arg(source("origins/packages.py"))
        .arg(&place.dir)
        .arg(base)
        .status()
        .expect("python; run tests/setup");
    assert!(built.success(), "packages.py");
}

fn shell(dir: &Path, line: &str) {
    let mut command = Command::new("sh");
    command.current_dir(dir).args(["-ec", line]).env("GIT_CONFIG_GLOBAL", "/dev/null");
    assert!(command.status().expect("sh").success(), "{line}");
}

fn command_output(program: &str, args: &[&str]) -> String {
    let output = Command::new(program).args(args).output().expect("program");
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}
