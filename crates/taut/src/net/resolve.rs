//! Names to addresses, by the resolver of the operating system.

use std::net::IpAddr;
use std::time::Duration;

/// How long a resolver may take. The transaction that waits for the answer has its own timers on top.
const TIMEOUT: Duration = Duration::from_secs(5);

/// Looks a name up. An empty or missing answer is an error. Dropping the future gives up on the answer.
pub(crate) async fn lookup(host: &str) -> Result<Vec<IpAddr>, ()> {
    let answer = tokio::time::timeout(TIMEOUT, tokio::net::lookup_host((host, 0))).await;
    let mut addresses: Vec<IpAddr> = match answer {
        Ok(Ok(addresses)) => addresses.map(|address| address.ip()).collect(),
        Ok(Err(error)) => {
            tracing::debug!(%error, host, "name not resolved");
            return Err(());
        }
        Err(_) => {
            tracing::debug!(host, "the resolver did not answer");
            return Err(());
        }
    };
    addresses.dedup();
    if addresses.is_empty() { Err(()) } else { Ok(addresses) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn an_address_is_its_own_name_and_nonsense_is_an_error() {
        assert_eq!(lookup("192.0.2.7").await, Ok(vec![IpAddr::from([192, 0, 2, 7])]));
        assert_eq!(lookup("no such name").await, Err(()));
    }
}
