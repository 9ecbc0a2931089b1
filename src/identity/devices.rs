//! Logins of programs that a person approves in a browser, in the shape of RFC 8628: the program shows a short code, the
//! person signs in, types the code and says yes, and the program, which has asked all the while, gets a token.
//!
//! ```text
//! begin ─► Waiting ──look (the code)──► Shown ──answer──► Approved ──poll──► a token, once
//!                                         ▲ └─ again ─┘ └► Denied
//! ```
//!
//! Two secrets: the code is for a person to type, so it is short, lives for minutes and guesses are counted (by the
//! caller). The device's secret is never shown; only its hash is here. It belongs to the address that began, for that is
//! the address that the person is shown and says yes to.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use aws_lc_rs::{digest, rand};
use data_encoding::BASE64URL_NOPAD;

use crate::domain::{Client, Clients, Clock, UnixSeconds, network_of, site_of};
use crate::identity::credential::Credential;
use crate::store::KeyHash;

/// How long a code is good, in seconds.
pub const DEVICE_SECONDS: i64 = 600;
/// How long a program waits between two questions, in seconds.
pub const POLL_SECONDS: i64 = 2;

/// Most logins under way.
const MOST: usize = 1024;
/// Most of one client.
const MOST_OF_ONE: usize = 8;
/// Less between two questions is too fast: half of what is asked for, as networks hurry and dawdle.
const LEAST_MILLIS: i64 = POLL_SECONDS * 500;
/// Without vowels, so that no words come of it, and without what looks alike (RFC 8628 section 6.1).
const ALPHABET: &[u8; 20] = b"BCDFGHJKLMNPQRSTVWXZ";
const CODE_LETTERS: usize = 8;

/// All such logins under way, in this process only: they last for minutes.
#[derive(Debug)]
pub struct Devices {
    table: Mutex<HashMap<KeyHash, Asked>>,
    clients: Clients,
    clock: Clock,
}

#[derive(Debug)]
struct Asked {
    code: String,
    name: String,
    address: IpAddr,
    at: UnixSeconds,
    /// On the clock that nobody sets.
    begun: i64,
    polled: Option<i64>,
    state: State,
}

#[derive(Debug)]
enum State {
    Waiting,
    /// To the holder of this session, on a page that knows a secret of this hash.
    Shown {
        session: KeyHash,
        page: KeyHash,
    },
    Approved(Arc<Credential>),
    Denied,
}

/// A login that has begun.
pub struct BegunDevice {
    /// The program's secret.
    pub device: String,
    /// What the person types: `BCDF-GHJK`.
    pub code: String,
}

/// What a person is shown before they say yes or no.
pub struct ShownDevice {
    /// The page's secret: without it no answer counts. A script on another page of this origin cannot read it.
    pub page: String,
    /// The code, as it should stand on the program's screen.
    pub code: String,
    /// What the program calls itself.
    pub name: String,
    /// Where it is.
    pub address: IpAddr,
    /// When it asked.
    pub at: UnixSeconds,
}

/// What has become of a login.
pub enum DevicePoll {
    /// Somebody said yes, with this credential, to a program of this name. Told once.
    Approved(Arc<Credential>, String),
    /// Somebody said no, or who said yes is signed in no more.
    Denied,
    /// Nobody has said anything yet.
    Pending,
    /// Asked again too soon.
    TooFast,
    /// There is none: it is over, or was never there, or began at another address.
    Unknown,
}

impl Devices {
    /// An empty table.
    #[must_use]
    pub fn new(clients: Clients, clock: Clock) -> Self {
        Self { table: Mutex::default(), clients, clock }
    }

    /// Begins a login; `None` if too many are under way, or there are no random bytes.
    #[must_use]
    pub fn begin(&self, name: String, client: impl Into<Client>) -> Option<BegunDevice> {
        let client = client.into();
        let address = client.address;
        let (device, key) = secret()?;
        let code = code()?;
        let begun = self.clock.steady_millis();
        let mut table = self.lock();
        table.retain(|_, asked| asked.is_open(begun));
        if let Some(here) = self.clients.one(client) {
            // The newcomer is refused, and not the oldest ended: else anybody beside them could end everybody's.
            let own = table.values().filter(|asked| network_of(asked.address) == here).count();
            if own >= MOST_OF_ONE {
                return None;
            }
        }
        // Two people with one code would say yes to each other's program.
        if table.values().any(|asked| asked.code == code) {
            return None;
        }
        if table.len() >= MOST && !make_room(&mut table, address) {
            return None;
        }
        let (at, state) = (self.clock.now(), State::Waiting);
        let asked = Asked { code: code.clone(), name, address, at, begun, polled: None, state };
        table.insert(key, asked);
        Some(BegunDevice { device, code })
    }

    /// The program asks what has become of its login.
    pub fn poll(&self, device: &str, address: IpAddr) -> DevicePoll {
        let (key, now) = (hash(device), self.clock.steady_millis());
        let mut table = self.lock();
        let Some(asked) = table
            .get_mut(&key)
            .filter(|asked| network_of(asked.address) == network_of(address) && asked.is_open(now))
        else {
            return DevicePoll::Unknown;
        };
        if asked.polled.is_some_and(|last| now - last < LEAST_MILLIS) {
            return DevicePoll::TooFast;
        }
        asked.polled = Some(now);
        if matches!(asked.state, State::Waiting | State::Shown { .. }) {
            return DevicePoll::Pending;
        }
        match table.remove(&key) {
            Some(Asked { state: State::Approved(credential), name, .. })
                if credential.is_live(self.clock.now()) =>
            {
                DevicePoll::Approved(credential, name)
            }
            _ => DevicePoll::Denied,
        }
    }

    /// The login of a code, to be shown to the holder of `session`; `None` if there is none that waits. A later look,
    /// by whomever, takes the place of an earlier one.
    #[must_use]
    pub fn look(&self, code: &str, session: KeyHash) -> Option<ShownDevice> {
        let code = read_code(code)?;
        let (page, hash) = secret()?;
        let now = self.clock.steady_millis();
        let mut table = self.lock();
        let asked = table.values_mut().find(|asked| asked.code == code && asked.is_open(now))?;
        if !matches!(asked.state, State::Waiting | State::Shown { .. }) {
            return None;
        }
        asked.state = State::Shown { session, page: hash };
        let (name, address) = (asked.name.clone(), asked.address);
        Some(ShownDevice { page, code, name, address, at: asked.at })
    }

    /// What stands on a page that [`Devices::look`] made for the same session, as long as it waits for an answer.
    #[must_use]
    pub fn shown(&self, page: &str, session: KeyHash) -> Option<ShownDevice> {
        let (hash, now) = (hash(page), self.clock.steady_millis());
        let table = self.lock();
        let asked = table.values().find(|asked| asked.is_open(now) && asked.is_shown(session, hash))?;
        let (code, name) = (asked.code.clone(), asked.name.clone());
        Some(ShownDevice { page: page.to_owned(), code, name, address: asked.address, at: asked.at })
    }

    /// The person's answer, on a page that [`Devices::look`] made for the same session. `None` if it does not count (any
    /// more); else where the program is.
    pub fn answer(&self, page: &str, credential: &Arc<Credential>, approves: bool) -> Option<IpAddr> {
        let (hash, now) = (hash(page), self.clock.steady_millis());
        let mut table = self.lock();
        let session = credential.key();
        let asked = table.values_mut().find(|asked| asked.is_open(now) && asked.is_shown(session, hash))?;
        asked.state = if approves { State::Approved(Arc::clone(credential)) } else { State::Denied };
        Some(asked.address)
    }

    /// Forgets what is over.
    pub fn sweep(&self) {
        let now = self.clock.steady_millis();
        self.lock().retain(|_, asked| asked.is_open(now));
    }

    /// Each change is one call, so a panic elsewhere leaves nothing half done.
    fn lock(&self) -> MutexGuard<'_, HashMap<KeyHash, Asked>> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Ends the oldest login that nobody has looked at of the network that has most under way, if that has more than the one
/// of `address` will have: a network full of addresses must not keep others out.
fn make_room(table: &mut HashMap<KeyHash, Asked>, address: IpAddr) -> bool {
    let mut sites = HashMap::<IpAddr, usize>::new();
    for asked in table.values() {
        *sites.entry(site_of(asked.address)).or_default() += 1;
    }
    let own = sites.get(&site_of(address)).copied().unwrap_or_default();
    let held = |asked: &Asked| sites.get(&site_of(asked.address)).copied().unwrap_or_default();
    let victim = table
        .iter()
        .filter(|(_, asked)| matches!(asked.state, State::Waiting) && held(asked) > own + 1)
        .min_by_key(|(_, asked)| (std::cmp::Reverse(held(asked)), asked.begun))
        .map(|(key, _)| *key);
    victim.is_some_and(|key| table.remove(&key).is_some())
}

impl Asked {
    const fn is_open(&self, now: i64) -> bool {
        now - self.begun < DEVICE_SECONDS * 1000
    }

    /// Whether it stands on this page of this session, and waits for an answer.
    fn is_shown(&self, to: KeyHash, on: KeyHash) -> bool {
        matches!(self.state, State::Shown { session, page } if session == to && page == on)
    }
}

/// A code as people type it: in any case, with or without the dash, with spaces.
fn read_code(text: &str) -> Option<String> {
    let letters: String =
        text.chars().filter(|c| *c != '-' && !c.is_whitespace()).map(|c| c.to_ascii_uppercase()).collect();
    let is_code = letters.len() == CODE_LETTERS && letters.bytes().all(|letter| ALPHABET.contains(&letter));
    is_code.then(|| dashed(&letters))
}

fn dashed(letters: &str) -> String {
    let (left, right) = letters.split_at(CODE_LETTERS / 2);
    format!("{left}-{right}")
}

/// Some 34 bits; guesses are counted.
fn code() -> Option<String> {
    let mut letters = String::with_capacity(CODE_LETTERS);
    while letters.len() < CODE_LETTERS {
        let mut bytes = [0_u8; 16];
        rand::fill(&mut bytes).ok()?;
        // The largest multiple of 20 that fits: no letter is more likely than another.
        let fair = bytes.iter().filter(|byte| **byte < 240).map(|byte| usize::from(byte % 20));
        let missing = CODE_LETTERS - letters.len();
        letters
            .extend(fair.take(missing).filter_map(|at| ALPHABET.get(at)).map(|letter| char::from(*letter)));
    }
    Some(dashed(&letters))
}

fn secret() -> Option<(String, KeyHash)> {
    let mut bytes = [0_u8; 32];
    rand::fill(&mut bytes).ok()?;
    let text = BASE64URL_NOPAD.encode(&bytes);
    let hash = hash(&text);
    Some((text, hash))
}

fn hash(text: &str) -> KeyHash {
    let mut hash = KeyHash::default();
    hash.copy_from_slice(digest::digest(&digest::SHA256, text.as_bytes()).as_ref());
    hash
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;
    use std::net::IpAddr;
    use std::sync::Arc;

    use super::{ALPHABET, DEVICE_SECONDS, DevicePoll, Devices, MOST, MOST_OF_ONE, POLL_SECONDS, code};
    use crate::domain::{Client, Clients, Clock, Username};
    use crate::identity::Credential;

    const HERE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 7));

    fn session(key: u8) -> Arc<Credential> {
        let bob = Username::parse("bob").unwrap();
        Arc::new(Credential::from_password([key; 32], bob, Vec::new(), 0, 100_000))
    }

    fn devices() -> (Devices, Clock) {
        let clock = Clock::manual(1000);
        (
            Devices::new(Clients::new(Vec::new(), vec!["198.51.100.7/32".parse().unwrap()]), clock.clone()),
            clock,
        )
    }

    fn word(poll: &DevicePoll) -> &'static str {
        match poll {
            DevicePoll::Approved(..) => "approved",
            DevicePoll::Denied => "denied",
            DevicePoll::Pending => "pending",
            DevicePoll::TooFast => "too fast",
            DevicePoll::Unknown => "unknown",
        }
    }

    #[test]
    fn an_approved_device_is_let_in_once_by_its_own_secret_from_its_own_address() {
        let (devices, clock) = devices();
        let begun = devices.begin("laptop".into(), HERE).unwrap();
        let ask = |device: &str, address| {
            clock.advance(POLL_SECONDS);
            devices.poll(device, address)
        };
        assert_eq!(word(&ask(&begun.device, HERE)), "pending");
        let shown = devices.look(&begun.code, session(1).key()).unwrap();
        assert_eq!((shown.name.as_str(), shown.address, &shown.code), ("laptop", HERE, &begun.code));
        assert_eq!(word(&ask(&begun.device, HERE)), "pending");
        assert_eq!(devices.answer(&shown.page, &session(1), true), Some(HERE));
        assert_eq!(word(&ask(&begun.code, HERE)), "unknown");
        assert_eq!(word(&ask(&begun.device, "192.0.2.8".parse().unwrap())), "unknown");
        let DevicePoll::Approved(credential, name) = ask(&begun.device, HERE) else { panic!("not approved") };
        assert_eq!((credential.key(), name.as_str()), (session(1).key(), "laptop"));
        assert_eq!(word(&ask(&begun.device, HERE)), "unknown");
        assert!(devices.look(&begun.code, session(1).key()).is_none());
    }

    #[test]
    fn only_the_session_and_the_page_that_were_shown_can_answer_and_once() {
        let (devices, _) = devices();
        let begun = devices.begin("laptop".into(), HERE).unwrap();
        let first = devices.look(&begun.code, session(1).key()).unwrap();
        let second = devices.look(&begun.code, session(2).key()).unwrap();
        assert!(devices.answer(&first.page, &session(1), true).is_none(), "a later look took its place");
        assert!(devices.answer(&second.page, &session(1), true).is_none(), "another's session");
        assert!(
            devices.answer("", &session(2), true).is_none()
                && devices.answer("x", &session(2), true).is_none()
        );
        assert!(devices.answer(&begun.code, &session(2), true).is_none());
        assert!(devices.answer(&second.page, &session(2), false).is_some());
        assert!(devices.answer(&second.page, &session(2), true).is_none(), "no means no");
        assert!(devices.look(&begun.code, session(2).key()).is_none());
        assert_eq!(word(&devices.poll(&begun.device, HERE)), "denied");
    }

    #[test]
    fn who_signed_out_after_the_yes_lets_nobody_in() {
        let (devices, _) = devices();
        let begun = devices.begin("laptop".into(), HERE).unwrap();
        let bob = session(1);
        let shown = devices.look(&begun.code, bob.key()).unwrap();
        devices.answer(&shown.page, &bob, true).unwrap();
        bob.cut().fall();
        assert_eq!(word(&devices.poll(&begun.device, HERE)), "denied");
    }

    #[test]
    fn a_code_is_over_after_ten_minutes_whatever_the_wall_clock_says() {
        let (devices, clock) = devices();
        let begun = devices.begin("laptop".into(), HERE).unwrap();
        clock.set_forward(10 * DEVICE_SECONDS);
        clock.advance(DEVICE_SECONDS - 1);
        let shown = devices.look(&begun.code, session(1).key()).unwrap();
        clock.advance(1);
        assert!(devices.answer(&shown.page, &session(1), true).is_none());
        assert!(devices.look(&begun.code, session(1).key()).is_none());
        assert_eq!(word(&devices.poll(&begun.device, HERE)), "unknown");
        devices.sweep();
        assert!(devices.lock().is_empty());
    }

    #[test]
    fn who_asks_too_fast_is_told_so() {
        let (devices, clock) = devices();
        let begun = devices.begin("laptop".into(), HERE).unwrap();
        let words: Vec<_> = (0..2).map(|_| word(&devices.poll(&begun.device, HERE))).collect();
        assert_eq!(words, ["pending", "too fast"]);
        clock.advance(POLL_SECONDS);
        assert_eq!(word(&devices.poll(&begun.device, HERE)), "pending");
    }

    #[test]
    fn one_address_has_few_whose_oldest_nobody_ends_and_all_together_are_bounded() {
        let (devices, clock) = devices();
        let six = |host: usize| format!("2001:db8:0:1::{host:x}").parse::<IpAddr>().unwrap();
        let begun: Vec<_> = (0..=MOST_OF_ONE)
            .map(|host| {
                clock.advance(POLL_SECONDS);
                devices.begin("x".into(), six(host))
            })
            .collect();
        assert!(begun[MOST_OF_ONE].is_none());
        let oldest = begun[0].as_ref().unwrap();
        assert_eq!(word(&devices.poll(&oldest.device, six(0))), "pending");
        let four = |host: usize| IpAddr::from([10, (host / 256) as u8, (host % 256) as u8, 1]);
        let more = (0..2 * MOST).filter(|host| devices.begin("x".into(), four(*host)).is_some()).count();
        assert_eq!(more, MOST - 1, "one of each network, and the first one keeps no more than others have");
        assert_eq!(devices.lock().len(), MOST);
    }

    #[test]
    fn i12_a_network_full_of_addresses_keeps_no_program_out_and_ends_no_login_that_was_shown() {
        let (devices, _) = devices();
        let six = |host: usize| format!("2001:db8:1:{:x}::1", host / MOST_OF_ONE).parse::<IpAddr>().unwrap();
        let shown = devices.begin("laptop".into(), six(0)).unwrap();
        let page = devices.look(&shown.code, session(1).key()).unwrap();
        for host in 1..MOST {
            assert!(devices.begin("x".into(), six(host)).is_some());
        }
        assert!(devices.begin("x".into(), "2001:db8:1:ffff::1".parse::<IpAddr>().unwrap()).is_none());
        for host in 1..20 {
            assert!(devices.begin("x".into(), IpAddr::from([192, 0, 2, host])).is_some());
        }
        assert!(devices.answer(&page.page, &session(1), true).is_some());
        assert_eq!(
            word(&devices.poll(&shown.device, six(1))),
            "approved",
            "one client, whatever the address"
        );
    }

    #[test]
    fn i12_programs_behind_an_address_that_many_share_are_not_one() {
        let (devices, _) = devices();
        let balancer = Client { address: IpAddr::from([198, 51, 100, 7]), is_peer: true };
        let begun = (0..4 * MOST_OF_ONE).filter(|_| devices.begin("x".into(), balancer).is_some());
        assert_eq!(begun.count(), 4 * MOST_OF_ONE);
    }

    #[test]
    fn codes_are_readable_and_read_as_people_type_them() {
        let codes: HashSet<String> = (0..500).map(|_| code().unwrap()).collect();
        assert_eq!(codes.len(), 500);
        let letters: HashSet<u8> = codes.iter().flat_map(|code| code.bytes()).collect();
        assert_eq!(letters.len(), ALPHABET.len() + 1, "each letter, and the dash");
        let (devices, _) = devices();
        let code = devices.begin("x".into(), HERE).unwrap().code;
        assert_eq!((code.len(), code.find('-')), (9, Some(4)));
        for typed in [
            code.clone(),
            code.to_lowercase(),
            code.replace('-', ""),
            format!(" {} ", code.replace('-', " ")),
        ] {
            assert!(devices.look(&typed, [0; 32]).is_some(), "{typed:?}");
        }
        for typed in ["", "BCDF", "AAAA-AAAA", "BCDF-GHJ\u{212a}", &code[..8], &format!("{code}B")] {
            assert!(devices.look(typed, [0; 32]).is_none(), "{typed:?}");
        }
    }
}
