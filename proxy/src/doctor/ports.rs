//! Whether the addresses that are listened on can be: free, or ours already.

use std::io::ErrorKind;
use std::net::{SocketAddr, TcpListener, UdpSocket};

use super::{Finding, Setting};

pub(super) fn look(setting: &Setting, appliance_is_there: bool) -> Vec<Finding> {
    let listen = &setting.config.listen;
    let mut found = Vec::new();
    for (check, addresses) in [
        ("listen.dns", &listen.dns),
        ("listen.http", &listen.http),
        ("listen.https", &listen.https),
        ("listen.proxy", &listen.proxy),
        ("listen.transparent", &listen.transparent),
        ("listen.transparent", &listen.tproxy),
        ("listen.admin", &listen.admin),
    ] {
        for &address in addresses {
            let mut tried = TcpListener::bind(address).map(drop);
            if check == "listen.dns" {
                tried = tried.and_then(|()| UdpSocket::bind(address).map(drop));
            }
            found.push(judge(check, address, tried, appliance_is_there));
        }
    }
    found
}

fn judge(check: &'static str, address: SocketAddr, tried: std::io::Result<()>, appliance_is_there: bool) -> Finding {
    match tried.map_err(|error| error.kind()) {
        Ok(()) if appliance_is_there && address.port() != 0 => {
            let what = format!("{address} is free, though an appliance runs: it does not listen there");
            Finding::warn(check, what).advise("restart it: `listen` is read at the start")
        }
        Ok(()) => Finding::ok(check, format!("{address} is free")),
        Err(ErrorKind::AddrInUse) if appliance_is_there => Finding::ok(check, format!("{address} is served")),
        Err(ErrorKind::AddrInUse) => {
            let what = format!("{address} is taken, and not by an appliance that answers");
            Finding::bad(check, what).advise("`ss -lntup` shows by whom (systemd-resolved has port 53 on many machines; a socket unit of stubgate's is well)")
        }
        Err(ErrorKind::PermissionDenied) => {
            let what = format!("this user may not listen on {address}");
            Finding::warn(check, what).advise("run this as who starts stubgate: as root with process.user, with CAP_NET_BIND_SERVICE, or by a socket unit")
        }
        Err(ErrorKind::AddrNotAvailable) => Finding::bad(check, format!("{address} is no address of this machine"))
            .advise("correct listen, or give the machine the address"),
        Err(kind) => Finding::bad(check, format!("{address}: {kind}")),
    }
}

#[cfg(test)]
mod tests {
    use super::super::Grade;
    use super::*;

    #[test]
    fn an_address_is_free_ours_or_somebody_elses() {
        let address: SocketAddr = "192.0.2.1:443".parse().unwrap();
        for (tried, there, grade) in [
            (Ok(()), false, Grade::Ok),
            (Ok(()), true, Grade::Warn),
            (Err(ErrorKind::AddrInUse), true, Grade::Ok),
            (Err(ErrorKind::AddrInUse), false, Grade::Bad),
            (Err(ErrorKind::PermissionDenied), false, Grade::Warn),
            (Err(ErrorKind::AddrNotAvailable), true, Grade::Bad),
            (Err(ErrorKind::Other), true, Grade::Bad),
        ] {
            let finding = judge("listen.https", address, tried.map_err(Into::into), there);
            assert_eq!(finding.grade, grade, "{tried:?} {there}: {}", finding.what);
        }
    }
}
