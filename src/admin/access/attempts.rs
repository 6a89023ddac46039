//! How often each client may give a wrong password.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::time::{Duration, Instant};

use super::bucket::Bucket;
use crate::admin::Peer;

/// Wrong passwords at once; then one in each [`INTERVAL`].
const BURST: u32 = 5;
const INTERVAL: Duration = Duration::from_secs(5);

/// The clients that are remembered; whoever has done least makes room.
const CLIENTS: usize = 1024;

/// Where a client is: whoever is in the same place shares its limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Place {
    /// An address of IPv4, or a network of IPv6: one machine has all of its addresses.
    Network(IpAddr),
    /// All that come through a socket.
    Socket,
}

impl From<Peer> for Place {
    fn from(peer: Peer) -> Self {
        match peer {
            Peer::Network(address) => Self::Network(match address.ip().to_canonical() {
                IpAddr::V6(ip) => Ipv6Addr::from_bits(ip.to_bits() & !u128::from(u64::MAX)).into(),
                ip => ip,
            }),
            Peer::Socket | Peer::AdminSocket => Self::Socket,
        }
    }
}

/// The passwords that clients have tried. Each costs a token, which a right one gets back.
#[derive(Debug, Default)]
pub(super) struct Attempts(HashMap<Place, Limit>);

#[derive(Debug)]
struct Limit {
    bucket: Bucket,
    /// Whether the log has been told.
    told: bool,
}

/// A client that has given too many wrong passwords.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct TooMany {
    pub(super) wait: Duration,
    /// Whether this is the first time since it was last allowed all of them.
    pub(super) is_new: bool,
}

impl Attempts {
    /// Before a password is looked at.
    pub(super) fn begin(&mut self, peer: Peer, now: Instant) -> Result<(), TooMany> {
        let place = Place::from(peer);
        if !self.0.contains_key(&place) {
            self.make_room(now);
        }
        let limit = self.0.entry(place).or_insert_with(|| Limit { bucket: Bucket::new(BURST, INTERVAL), told: false });
        if limit.bucket.is_full(now) {
            limit.told = false;
        }
        limit.bucket.take(now).map_err(|wait| TooMany { wait, is_new: !std::mem::replace(&mut limit.told, true) })
    }

    /// It was right, or was not looked at.
    pub(super) fn forgive(&mut self, peer: Peer) {
        if let Some(limit) = self.0.get_mut(&Place::from(peer)) {
            limit.bucket.give_back();
        }
    }

    fn make_room(&mut self, now: Instant) {
        if self.0.len() < CLIENTS {
            return;
        }
        self.0.retain(|_, limit| !limit.bucket.is_full(now));
        if self.0.len() >= CLIENTS {
            let tokens = self.0.iter_mut().map(|(place, limit)| (*place, limit.bucket.tokens(now)));
            let least_guilty = tokens.max_by(|(_, one), (_, other)| one.total_cmp(other));
            if let Some((place, _)) = least_guilty {
                self.0.remove(&place);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn peer(address: &str) -> Peer {
        Peer::Network(address.parse().unwrap())
    }

    fn exhaust(attempts: &mut Attempts, peer: Peer, now: Instant) {
        (0..BURST).for_each(|_| attempts.begin(peer, now).unwrap());
    }

    #[test]
    fn whoever_gives_too_many_wrong_passwords_waits_and_nobody_elsewhere_does() {
        let (mut attempts, now) = (Attempts::default(), Instant::now());
        let guesser = peer("192.0.2.1:1000");
        exhaust(&mut attempts, guesser, now);
        assert_eq!(attempts.begin(guesser, now), Err(TooMany { wait: INTERVAL, is_new: true }));
        assert_eq!(attempts.begin(peer("192.0.2.1:2000"), now), Err(TooMany { wait: INTERVAL, is_new: false }));
        assert!(attempts.begin(peer("[::ffff:192.0.2.1]:1000"), now).is_err());
        for other in [peer("192.0.2.2:1000"), peer("[2001:db8::1]:1000"), Peer::Socket] {
            assert_eq!(attempts.begin(other, now), Ok(()), "{other}");
        }
        assert_eq!(attempts.begin(guesser, now + INTERVAL), Ok(()));
    }

    /// Caught, when seeded: a limit per address of IPv6.
    #[test]
    fn a_machine_with_a_network_of_addresses_is_one_client() {
        let (mut attempts, now) = (Attempts::default(), Instant::now());
        (0..BURST).for_each(|at| attempts.begin(peer(&format!("[2001:db8:1:2::{at}]:1")), now).unwrap());
        assert!(attempts.begin(peer("[2001:db8:1:2:ffff::9]:1"), now).is_err());
        assert!(attempts.begin(peer("[2001:db8:1:3::1]:1"), now).is_ok());
    }

    #[test]
    fn a_right_password_costs_nothing() {
        let (mut attempts, now) = (Attempts::default(), Instant::now());
        for _ in 0..100 {
            attempts.begin(Peer::Socket, now).unwrap();
            attempts.forgive(Peer::Socket);
        }
    }

    /// Caught, when seeded: the oldest makes room, so that many addresses wash out the one that guesses.
    #[test]
    fn however_many_clients_come_the_table_is_bounded_and_keeps_the_one_that_guesses() {
        let (mut attempts, now) = (Attempts::default(), Instant::now());
        let guesser = peer("192.0.2.1:1");
        exhaust(&mut attempts, guesser, now);
        for at in 0..5000_u32 {
            let _ = attempts.begin(Peer::Network((std::net::Ipv4Addr::from_bits(at), 1).into()), now);
        }
        assert_eq!(attempts.0.len(), CLIENTS);
        assert!(attempts.begin(guesser, now).is_err());
    }
}
