use std::sync::Arc;

use proptest::prelude::*;
use rustls::{
    RootCertStore,
    client::{WebPkiServerVerifier, danger::ServerCertVerifier as _},
    pki_types::{CertificateDer, ServerName, UnixTime, pem::PemObject as _},
};

use super::*;

const NOW: &str = "2026-01-02T03:04:05Z";

fn names() -> Vec<String> {
    ["localhost", "127.0.0.1"].map(str::to_owned).to_vec()
}

fn at(offset: Duration) -> Timestamp {
    later(NOW.parse().unwrap(), offset)
}

fn fresh(lifetimes: Lifetimes) -> Identity {
    let token = Some(Token::kept("0123".to_owned()));
    Identity::new(&names(), token, lifetimes, at(Duration::ZERO)).unwrap()
}

fn moment(names: &[String], offset: Duration) -> Moment<'_> {
    Moment {
        now: at(offset),
        names,
        forced: false,
        bundle: None,
    }
}

/// The step that is due, of which nobody asked more and where the apiserver trusts what it was told.
fn step(identity: &Identity, offset: Duration) -> Option<(Step, Identity)> {
    let (names, bundle) = (names(), identity.bundle());
    let moment = Moment {
        bundle: Some(&bundle),
        ..moment(&names, offset)
    };
    identity.step(&moment, Lifetimes::default()).unwrap()
}

fn forced(identity: &Identity, offset: Duration) -> Identity {
    let names = names();
    let moment = Moment {
        forced: true,
        ..moment(&names, offset)
    };
    identity.step(&moment, Lifetimes::default()).unwrap().unwrap().1
}

/// Whether a client that trusts `bundle` takes what is served.
fn is_trusted(identity: &Identity, bundle: &str, now: Timestamp) -> bool {
    let mut roots = RootCertStore::empty();
    for root in CertificateDer::pem_slice_iter(bundle.as_bytes()) {
        roots.add(root.unwrap()).unwrap();
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider)
        .build()
        .unwrap();
    let served = CertificateDer::from_pem_slice(identity.serving().pem().as_bytes()).unwrap();
    let now = UnixTime::since_unix_epoch(Duration::from_secs(now.as_second().unsigned_abs()));
    let name = ServerName::try_from("localhost").unwrap();
    verifier.verify_server_cert(&served, &[], &name, &[], now).is_ok()
}

#[test]
fn what_is_kept_is_used_while_it_is_good() {
    assert_eq!(step(&fresh(Lifetimes::default()), days(59)), None);
}

#[test]
fn a_serving_certificate_is_replaced_before_its_end_by_the_same_authority() {
    let first = fresh(Lifetimes::default());
    let (made, second) = step(&first, days(61)).unwrap();
    assert_eq!(made, Step::Renewed);
    assert_ne!(second.files()["tls.crt"], first.files()["tls.crt"]);
    assert_eq!(second.files()["ca.crt"], first.files()["ca.crt"]);
    assert_eq!(second.token(), first.token());
    assert!(is_trusted(&second, &first.bundle(), at(days(61))));
}

#[test]
fn other_names_want_another_serving_certificate() {
    let first = fresh(Lifetimes::default());
    let other = ["provost.provost.svc".to_owned()];
    assert_eq!(
        first.named(&names(), Lifetimes::default(), at(days(1))).unwrap(),
        None
    );
    let second = first.named(&other, Lifetimes::default(), at(days(1))).unwrap();
    let second = second.unwrap();
    assert_ne!(second.files()["tls.crt"], first.files()["tls.crt"]);
    assert_eq!(second.bundle(), first.bundle());
}

#[test]
fn an_authority_is_announced_then_signs_then_is_the_only_one() {
    let first = fresh(Lifetimes::default());
    let due = days(2_434);
    let (_, renewed) = step(&first, days(2_400)).unwrap();

    let (made, announced) = step(&renewed, due).unwrap();
    assert_eq!(made, Step::Announced);
    assert_eq!(announced.serving(), renewed.serving());
    assert!(announced.bundle().starts_with(&first.bundle()));
    assert_ne!(announced.bundle(), first.bundle());
    assert_eq!(step(&announced, due + OVERLAP / 2), None);

    let (made, switched) = step(&announced, due + OVERLAP).unwrap();
    assert_eq!(made, Step::Switched);
    let now = at(due + OVERLAP);
    assert!(is_trusted(&switched, &announced.bundle(), now));
    assert!(!is_trusted(&switched, &first.bundle(), now));
    assert!(is_trusted(&announced, &switched.bundle(), now));
    assert!(!switched.files().contains_key("old.key"));
    assert_eq!(step(&switched, due + OVERLAP + OVERLAP / 2), None);

    let (made, settled) = step(&switched, due + 2 * OVERLAP).unwrap();
    assert_eq!(made, Step::Settled);
    assert!(is_trusted(&settled, &settled.bundle(), now));
    assert!(!is_trusted(&announced, &settled.bundle(), now));
    assert_eq!(settled.token(), first.token());
    assert_eq!(step(&settled, due + 3 * OVERLAP), None);
}

#[test]
fn no_authority_signs_before_the_apiserver_is_seen_to_trust_it() {
    let first = fresh(Lifetimes::default());
    let announced = forced(&first, Duration::ZERO);
    let (names, old) = (names(), first.bundle());
    for bundle in [None, Some(old.as_str())] {
        let moment = Moment {
            bundle,
            ..moment(&names, days(1))
        };
        assert_eq!(announced.step(&moment, Lifetimes::default()).unwrap(), None);
    }
}

#[test]
fn a_rotation_can_be_asked_for_and_is_not_begun_twice() {
    let announced = forced(&fresh(Lifetimes::default()), Duration::ZERO);
    assert!(matches!(announced.phase(), Phase::Announced { .. }));
    let names = names();
    let again = Moment {
        forced: true,
        ..moment(&names, OVERLAP / 2)
    };
    assert_eq!(announced.step(&again, Lifetimes::default()).unwrap(), None);
}

#[test]
fn what_expired_while_nobody_looked_is_made_anew() {
    let (made, fresh) = step(&fresh(Lifetimes::default()), days(3_651)).unwrap();
    assert_eq!((made, fresh.phase()), (Step::Restarted, &Phase::Settled));
    assert!(is_trusted(&fresh, &fresh.bundle(), at(days(3_651))));
}

#[test]
fn each_phase_reads_back_as_it_was_kept() {
    let settled = fresh(Lifetimes::default());
    let announced = forced(&settled, Duration::ZERO);
    let (_, retiring) = step(&announced, OVERLAP).unwrap();
    for identity in [settled, announced, retiring] {
        assert_eq!(Identity::read(&identity.files()), Some(identity));
    }
}

#[test]
fn what_is_no_whole_identity_is_none() {
    let announced = forced(&fresh(Lifetimes::default()), Duration::ZERO);
    let (_, retiring) = step(&announced, OVERLAP).unwrap();
    let mut both = announced.files();
    both.extend(retiring.files());
    assert_eq!(Identity::read(&both), None);
    for part in ["ca.crt", "ca.key", "tls.crt", "tls.key"] {
        let mut files = announced.files();
        files.remove(part);
        assert_eq!(Identity::read(&files), None, "without {part}");
    }
    let mut undated = announced.files();
    let next = Identity::read(&undated).unwrap();
    let Phase::Announced { next, .. } = next.phase() else {
        panic!("it is announced")
    };
    undated.insert("next.crt".to_owned(), next.undated().certificate);
    assert_eq!(Identity::read(&undated), None);
}

#[test]
fn keys_and_the_token_are_not_printed() {
    let identity = forced(&fresh(Lifetimes::default()), Duration::ZERO);
    let printed = format!("{identity:?}");
    assert!(!printed.contains("PRIVATE KEY"), "{printed}");
    assert!(!printed.contains("0123"), "{printed}");
}

#[test]
fn lifetimes_that_do_not_fit_each_other_are_refused() {
    let seconds = Duration::from_secs;
    let of =
        |authority, serving, overlap| Lifetimes::new(seconds(authority), seconds(serving), seconds(overlap));
    assert!(of(80, 8, 1).is_ok());
    assert_eq!(of(80, 81, 1), Err(LifetimesError::Outlived));
    assert_eq!(of(80, 7, 1), Err(LifetimesError::Hasty));
    assert_eq!(of(80, 8, 0), Err(LifetimesError::Short));
    assert_eq!(
        Lifetimes::new(AUTHORITY_LIFETIME, SERVING_LIFETIME, OVERLAP),
        Ok(Lifetimes::default())
    );
}

/// A replica of the simulation: what it has followed, and when it looks next, in milliseconds.
struct Replica {
    identity: Identity,
    looks: u64,
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    /// Replicas look when they look, some of them late, and write the bundle as they know it, at times without having
    /// looked: at no time does a replica serve what the apiserver, as it was told last, does not trust.
    #[test]
    fn no_replica_ever_serves_what_the_apiserver_does_not_trust(
        delays in prop::collection::vec(0_u64..450, 64),
        ask in 0_u64..20_000,
    ) {
        const END: u64 = 120_000;
        let overlap = Duration::from_secs(5);
        let lifetimes = Lifetimes::new(Duration::from_mins(2), Duration::from_secs(40), overlap).unwrap();
        let names = names();
        let mut kept = fresh(lifetimes);
        let mut told = kept.bundle();
        let mut replicas: Vec<Replica> = (0..3)
            .map(|index| Replica { identity: kept.clone(), looks: delays[index] })
            .collect();
        let (mut delay, mut asked, mut settled) = (delays.iter().cycle(), false, 0);
        while let Some(replica) = replicas.iter_mut().min_by_key(|replica| replica.looks).filter(|replica| replica.looks < END) {
            let now = at(Duration::from_millis(replica.looks));
            let stale = delay.next().unwrap() % 7;
            replica.identity = kept.clone();
            let moment = Moment { now, names: &names, forced: !asked && replica.looks > ask, bundle: Some(&told) };
            if let Some((step, next)) = kept.step(&moment, lifetimes).unwrap() {
                prop_assert_ne!(step, Step::Restarted);
                asked |= step == Step::Announced;
                settled += usize::from(step == Step::Settled);
                kept = next.clone();
                replica.identity = next;
            }
            told = replica.identity.bundle();
            // Up to some 4 s late, of an overlap of 5 s.
            replica.looks += 250 + 9 * delay.next().unwrap();
            let stale = usize::try_from(stale).unwrap();
            if let Some(writer) = replicas.get(stale) {
                told = writer.identity.bundle();
            }
            for replica in &replicas {
                prop_assert!(is_trusted(&replica.identity, &told, now), "{:?} under {told}", replica.identity.phase());
            }
        }
        prop_assert!(settled >= 2, "{settled} rotations were complete");
    }
}
