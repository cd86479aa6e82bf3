//! How many long-lived connections there are, and whose: WebSockets and event
//! streams hold a place each.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::hash::Hash;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, PoisonError};

use super::ws::SocketOptions;
use crate::base::{ApiError, Code};
use crate::session::{Proof, Session};

/// When a refused client may try again, in seconds.
const RETRY_AFTER: u32 = 5;

/// Tenant and user of a token.
type User = (Option<Arc<str>>, Arc<str>);

#[derive(Debug)]
pub(super) struct Places {
    all: usize,
    per_address: Option<usize>,
    per_user: Option<usize>,
    taken: Mutex<Taken>,
}

#[derive(Debug, Default)]
struct Taken {
    all: usize,
    addresses: HashMap<IpAddr, usize>,
    users: HashMap<User, usize>,
}

/// One connection's place, until it is dropped.
#[derive(Debug)]
pub(super) struct Place {
    places: Arc<Places>,
    address: IpAddr,
    user: Option<User>,
}

/// The network that one subscriber of an access provider has.
fn network_of(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(_) => address,
        IpAddr::V6(v6) => {
            let [a, b, c, d, ..] = v6.segments();
            IpAddr::V6(Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0))
        }
    }
}

/// Takes one when fewer than `limit` are taken.
fn take<K: Hash + Eq>(counts: &mut HashMap<K, usize>, key: K, limit: usize) -> bool {
    let count = counts.entry(key).or_insert(0);
    let free = *count < limit;
    if free {
        *count += 1;
    }
    free
}

fn give_back<K: Hash + Eq>(counts: &mut HashMap<K, usize>, key: K) {
    if let Entry::Occupied(mut entry) = counts.entry(key) {
        *entry.get_mut() -= 1;
        if *entry.get() == 0 {
            entry.remove();
        }
    }
}

impl Places {
    pub(super) fn new(options: &SocketOptions) -> Self {
        Places {
            all: options.sockets,
            per_address: options.sockets_per_address,
            per_user: options.sockets_per_user,
            taken: Mutex::default(),
        }
    }

    /// A place for a client at `address`.
    pub(super) fn take(self: &Arc<Self>, address: IpAddr) -> Result<Place, ApiError> {
        let address = network_of(address);
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        if taken.all >= self.all {
            let error = ApiError::new(
                Code::ServiceUnavailable,
                "the server has as many sockets as it may have; try again in a moment",
            );
            return Err(error.with_detail("websocket.sockets").with_retry_after(RETRY_AFTER));
        }
        if let Some(limit) = self.per_address
            && !take(&mut taken.addresses, address, limit)
        {
            let error = ApiError::new(
                Code::TooManyRequests,
                "too many sockets of this address (websocket.sockets_per_address)",
            );
            return Err(error.with_retry_after(RETRY_AFTER));
        }
        taken.all += 1;
        drop(taken);
        Ok(Place { places: self.clone(), address, user: None })
    }
}

impl Place {
    /// Counts the place for the user of a token, once known.
    pub(super) fn claim(&mut self, session: &Session) -> Result<(), ApiError> {
        let (Some(limit), Proof::Token, Some(user)) =
            (self.places.per_user, session.proof, &session.user)
        else {
            return Ok(());
        };
        let user = (session.tenant.clone(), user.clone());
        let mut taken = self.places.taken.lock().unwrap_or_else(PoisonError::into_inner);
        if !take(&mut taken.users, user.clone(), limit) {
            let message = "too many sockets of this user (websocket.sockets_per_user)";
            return Err(ApiError::new(Code::TooManyRequests, message));
        }
        drop(taken);
        self.user = Some(user);
        Ok(())
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut taken = self.places.taken.lock().unwrap_or_else(PoisonError::into_inner);
        taken.all -= 1;
        if self.places.per_address.is_some() {
            give_back(&mut taken.addresses, self.address);
        }
        if let Some(user) = self.user.take() {
            give_back(&mut taken.users, user);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;

    #[test]
    fn places_come_back() {
        let config = Config::with(&[
            ("websocket.sockets", "3"),
            ("websocket.sockets_per_address", "2"),
            ("websocket.sockets_per_user", "1"),
        ])
        .expect("valid");
        let places = Arc::new(Places::new(&SocketOptions::from(&config)));
        let at = |text: &str| places.take(text.parse().expect("an address"));
        let code = |refused: Result<Place, ApiError>| refused.expect_err("is refused").code;
        let (mut one, mut two) =
            (at("2001:db8::1").expect("free"), at("2001:db8::2").expect("free"));
        assert_eq!(code(at("2001:db8::3")), Code::TooManyRequests);
        let other = at("2001:db8:0:1::1").expect("another network");
        assert_eq!(code(at("203.0.113.1")), Code::ServiceUnavailable);

        let mut session = crate::session::claims::anonymous_session("user");
        assert!(one.claim(&session).is_ok() && two.claim(&session).is_ok());
        session.proof = Proof::Token;
        session.user = Some("u".into());
        assert!(one.claim(&session).is_ok());
        assert!(two.claim(&session).is_err());
        session.tenant = Some("other".into());
        assert!(two.claim(&session).is_ok());

        drop((one, two, other));
        let taken = places.taken.lock().expect("locks");
        assert_eq!((taken.all, taken.addresses.len(), taken.users.len()), (0, 0, 0));
    }
}
