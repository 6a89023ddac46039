//! The default address, `:2112`: both families, as existing compose files expect of their `wget http://localhost:2112/health`,
//! whichever address `localhost` has first.

use std::io::{BufRead, BufReader};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use fulfillment_worker::admin::bind;
use tempfile::TempDir;

use super::client::get;
use super::server::Server;

/// What the loopback interface of this machine has.
fn loopback_addresses() -> Vec<IpAddr> {
    let both: [IpAddr; 2] = [Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()];
    both.into_iter().filter(|address| TcpListener::bind((*address, 0)).is_ok()).collect()
}

/// Caught, when seeded: a socket for IPv6 alone.
#[test]
fn the_health_check_of_existing_compose_files_works_over_each_family() {
    let server = Server::start_everywhere();
    let port = server.address.port();
    let addresses = loopback_addresses().into_iter().map(|ip| SocketAddr::new(ip, port).to_string());
    for host in addresses.chain([format!("localhost:{port}")]) {
        let url = format!("http://{host}/health");
        let mut wget = Command::new("wget");
        // No proxy of this environment's.
        wget.env_clear().env("PATH", std::env::var_os("PATH").unwrap_or_default());
        let output = wget.args(["-qO-", &url]).output().expect("wget; run scripts/install-packages.sh");
        assert!(output.status.success(), "{url}: {}", output.status);
        assert_eq!(String::from_utf8_lossy(&output.stdout).trim_end(), "ok", "{url}");
    }
}

#[test]
fn a_port_that_one_family_has_taken_is_in_use_for_both() {
    for ip in loopback_addresses() {
        let taken = TcpListener::bind((ip, 0)).expect("a port");
        let everywhere = SocketAddr::from((Ipv6Addr::UNSPECIFIED, taken.local_addr().expect("its address").port()));
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        let error = runtime.block_on(bind(everywhere)).expect_err("the port is taken").to_string();
        assert!(
            error.contains(": address in use; choose another with --listen, such as --listen [::]:"),
            "{ip}: {error}"
        );
    }
}

/// The reference warehouse, as it prints the address that it has, on whatever port the system gives it.
struct Listening {
    process: Child,
    address: SocketAddr,
}

impl Listening {
    fn start(listen: &str, preloaded: Option<&Path>) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_fulfillment-worker"));
        command.args(["warehouse", "--listen", listen]).env_clear().stdout(Stdio::piped()).stderr(Stdio::null());
        let mut process = command.envs(preloaded.map(|library| ("LD_PRELOAD", library))).spawn().expect("the binary");
        let mut line = String::new();
        BufReader::new(process.stdout.take().expect("its output")).read_line(&mut line).expect("a line");
        let address = line.trim().strip_prefix("http://").and_then(|rest| rest.strip_suffix("/shipments"));
        let address = address.and_then(|address| address.parse().ok());
        let address = address.unwrap_or_else(|| panic!("not an address: {line:?}"));
        Self { process, address }
    }
}

impl Drop for Listening {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

#[test]
fn a_port_alone_is_every_address_of_the_machine() {
    let listening = Listening::start(":0", None);
    for ip in loopback_addresses() {
        assert_eq!(get(SocketAddr::new(ip, listening.address.port()), "/stats", &[]).status, 200, "{ip}");
    }
}

#[test]
fn an_address_of_one_family_stays_with_it() {
    let listening = Listening::start("0.0.0.0:0", None);
    let port = listening.address.port();
    assert_eq!(get(SocketAddr::from((Ipv4Addr::LOCALHOST, port)), "/stats", &[]).status, 200);
    assert!(std::net::TcpStream::connect((Ipv6Addr::LOCALHOST, port)).is_err(), "listens on IPv6 as well");
}

/// A system without IPv6, as a program sees it.
const WITHOUT_IPV6: &str = "
    #include <errno.h>
    #include <sys/socket.h>
    #include <sys/syscall.h>
    #include <unistd.h>
    int socket(int family, int type, int protocol) {
        if (family == AF_INET6) { errno = EAFNOSUPPORT; return -1; }
        return syscall(SYS_socket, family, type, protocol);
    }";

fn compiled(source: &str, folder: &TempDir) -> std::path::PathBuf {
    let (code, library) = (folder.path().join("preloaded.c"), folder.path().join("preloaded.so"));
    std::fs::write(&code, source).expect("the source");
    let compiled =
        Command::new("cc").args(["-shared", "-fPIC", "-D_GNU_SOURCE", "-o"]).arg(&library).arg(&code).status();
    assert!(compiled.expect("cc; run scripts/install-packages.sh").success());
    library
}

/// Caught, when seeded: no second try.
#[cfg(target_os = "linux")]
#[test]
fn a_system_without_ipv6_is_served_over_ipv4() {
    let folder = tempfile::tempdir().expect("a folder");
    let listening = Listening::start(":0", Some(&compiled(WITHOUT_IPV6, &folder)));
    assert_eq!(listening.address.ip(), IpAddr::V4(Ipv4Addr::UNSPECIFIED));
    let here = SocketAddr::from((Ipv4Addr::LOCALHOST, listening.address.port()));
    assert_eq!(get(here, "/stats", &[]).status, 200);
}
