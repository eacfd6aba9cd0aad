#![expect(
    clippy::needless_pass_by_value,
    reason = "json! reads best where the value is wanted"
)]

use proptest::prelude::*;
use rstest::rstest;
use serde_json::{Value, json};

use super::*;

const SUBJECT: Subject<'static> = Subject {
    application: "my-app",
    namespace: "shop",
    server: "https://kubernetes.default.svc",
    cluster: "in-cluster",
};

fn windows(list: Value) -> SyncWindows {
    let mut flaws = Vec::new();
    let spec = json!({ "syncWindows": list });
    let windows = SyncWindows::read(&mut Fields::of("spec", Some(&spec), &mut flaws));
    assert!(flaws.is_empty(), "{flaws:?}");
    windows
}

/// A window about everything, with what else it has.
fn window(kind: &str, schedule: &str, duration: &str, rest: Value) -> Value {
    let mut window = json!({"kind": kind, "schedule": schedule, "duration": duration, "applications": ["*"]});
    window
        .as_object_mut()
        .unwrap()
        .extend(rest.as_object().unwrap().clone());
    window
}

fn is_open(windows: &SyncWindows, now: &str, is_manual: bool) -> bool {
    windows.check(&SUBJECT, now.parse().unwrap(), is_manual).is_ok()
}

#[rstest]
#[case("2026-11-24T21:59:59Z", false)]
#[case("2026-11-24T22:00:00Z", true)]
#[case("2026-11-24T23:59:59Z", true)]
#[case("2026-11-25T00:00:00Z", false)]
fn a_window_lasts_from_its_time_for_its_duration(#[case] now: &str, #[case] is_active: bool) {
    let allow = windows(json!([window("allow", "0 22 * * *", "2h", json!({}))]));
    assert_eq!(is_open(&allow, now, false), is_active);
    let deny = windows(json!([window("deny", "0 22 * * *", "2h", json!({}))]));
    assert_eq!(is_open(&deny, now, false), !is_active);
}

#[test]
fn without_windows_a_sync_may_always_begin() {
    assert!(is_open(&SyncWindows::default(), "2026-11-24T21:00:00Z", false));
}

#[test]
fn an_active_deny_beats_an_active_allow() {
    let both = windows(json!([
        window("allow", "0 0 * * *", "24h", json!({})),
        window("deny", "0 12 * * *", "1h", json!({})),
    ]));
    assert!(is_open(&both, "2026-11-24T11:00:00Z", false));
    assert!(!is_open(&both, "2026-11-24T12:30:00Z", false));
}

#[test]
fn any_active_allow_is_enough_and_the_next_is_named() {
    let two = windows(json!([
        window("allow", "0 6 * * *", "1h", json!({})),
        window("allow", "0 18 * * *", "1h", json!({})),
    ]));
    assert!(is_open(&two, "2026-11-24T18:30:00Z", false));
    let closed = two.check(&SUBJECT, "2026-11-24T12:00:00Z".parse().unwrap(), false);
    assert_eq!(
        closed.unwrap_err().to_string(),
        "a sync is allowed only in the project's syncWindows[0] (allow \"0 6 * * *\" for 1h) or \
         syncWindows[1] (allow \"0 18 * * *\" for 1h), next at 2026-11-24T18:00:00Z"
    );
}

#[rstest]
// A deny lets a person sync only where every active one does.
#[case(json!([window("deny", "0 0 * * *", "24h", json!({"manualSync": true}))]), true)]
#[case(json!([window("deny", "0 0 * * *", "24h", json!({"manualSync": true})), window("deny", "0 0 * * *", "24h", json!({}))]), false)]
// Of those that allow and are not active, one is enough.
#[case(json!([window("allow", "0 0 * * *", "1h", json!({"manualSync": true})), window("allow", "0 0 * * *", "1h", json!({}))]), true)]
#[case(json!([window("allow", "0 0 * * *", "1h", json!({}))]), false)]
fn a_person_may_sync_where_the_window_says_so(#[case] list: Value, #[case] may: bool) {
    let windows = windows(list);
    assert_eq!(is_open(&windows, "2026-11-24T12:00:00Z", true), may);
    assert!(!is_open(&windows, "2026-11-24T12:00:00Z", false));
}

#[rstest]
#[case(json!({"applications": ["my-*"]}), true)]
#[case(json!({"applications": ["other"]}), false)]
#[case(json!({"applications": ["other"], "namespaces": ["sh?p"]}), true)]
#[case(json!({"applications": [], "clusters": ["in-cluster"]}), true)]
#[case(json!({"applications": [], "clusters": ["https://kubernetes.*"]}), true)]
#[case(json!({"applications": ["other"], "namespaces": ["shop"], "andOperator": true}), false)]
#[case(json!({"applications": ["my-app"], "namespaces": ["shop"], "andOperator": true}), true)]
#[case(json!({"applications": ["my-app"], "andOperator": true}), true)]
#[case(json!({"applications": []}), false)]
#[case(json!({"applications": [], "andOperator": true}), false)]
fn a_window_is_about_what_its_lists_name(#[case] lists: Value, #[case] is_about: bool) {
    let deny = windows(json!([window("deny", "* * * * *", "24h", lists)]));
    assert_eq!(!is_open(&deny, "2026-11-24T12:00:00Z", false), is_about);
}

#[rstest]
// Winter: an hour from UTC. Summer: two.
#[case("Europe/Berlin", "2026-01-15T21:30:00Z", true)]
#[case("Europe/Berlin", "2026-01-15T20:30:00Z", false)]
#[case("Europe/Berlin", "2026-07-15T20:30:00Z", true)]
#[case("", "2026-01-15T22:30:00Z", true)]
#[case("Asia/Kolkata", "2026-01-15T16:45:00Z", true)]
fn times_are_those_of_the_windows_zone(#[case] zone: &str, #[case] now: &str, #[case] is_active: bool) {
    let allow = windows(json!([window(
        "allow",
        "0 22 * * *",
        "1h",
        json!({"timeZone": zone})
    )]));
    assert_eq!(is_open(&allow, now, false), is_active);
}

#[test]
fn a_window_in_the_hour_that_clocks_skip_is_an_hour_later_and_in_the_one_they_repeat_there_once() {
    let zone = json!({"timeZone": "Europe/Berlin"});
    let allow = windows(json!([window("allow", "30 2 * * *", "10m", zone)]));
    // 2026-03-29: 02:00 becomes 03:00; 02:30 is 03:30 summer time.
    assert!(is_open(&allow, "2026-03-29T01:35:00Z", false));
    assert!(!is_open(&allow, "2026-03-29T00:35:00Z", false));
    // 2026-10-25: 02:30 comes twice; the first is summer time.
    assert!(is_open(&allow, "2026-10-25T00:35:00Z", false));
    assert!(!is_open(&allow, "2026-10-25T01:35:00Z", false));
}

#[rstest]
#[case(json!({"kind": "maybe"}), "kind is \"maybe\"")]
#[case(json!({"schedule": "often"}), "\"often\" is no schedule")]
#[case(json!({"duration": "long"}), "\"long\" is not a duration")]
#[case(json!({"duration": "0s"}), "duration is not positive")]
#[case(json!({"timeZone": "Europe/Nowhere"}), "timeZone \"Europe/Nowhere\" is not known")]
fn a_window_that_cannot_be_read_blocks_what_it_is_about(#[case] rest: Value, #[case] reason: &str) {
    let invalid = windows(json!([
        window("allow", "0 0 * * *", "1h", rest.clone()),
        window("allow", "* * * * *", "24h", json!({})),
    ]));
    let closed = invalid.check(&SUBJECT, "2026-11-24T12:00:00Z".parse().unwrap(), true);
    let closed = closed.unwrap_err().to_string();
    assert!(closed.contains(reason), "{closed}");
    let mut other = window("allow", "0 0 * * *", "1h", rest);
    other["applications"] = json!(["other"]);
    assert!(is_open(&windows(json!([other])), "2026-11-24T12:00:00Z", false));
}

#[rstest]
#[case("deny", json!({"syncOverrun": true}), "2026-11-24T11:30:00Z", true)]
#[case("deny", json!({}), "2026-11-24T11:30:00Z", false)]
// What began in a denied time was never allowed.
#[case("deny", json!({"syncOverrun": true}), "2026-11-24T12:10:00Z", false)]
fn a_sync_may_run_into_a_deny_that_lets_it(
    #[case] kind: &str,
    #[case] rest: Value,
    #[case] started: &str,
    #[case] may: bool,
) {
    let windows = windows(json!([window(kind, "0 12 * * *", "1h", rest)]));
    let now = "2026-11-24T12:30:00Z".parse().unwrap();
    let checked = windows.check_running(&SUBJECT, started.parse().unwrap(), now, false);
    assert_eq!(checked.is_ok(), may);
}

#[rstest]
#[case(json!({"syncOverrun": true}), "2026-11-24T12:30:00Z", true)]
#[case(json!({}), "2026-11-24T12:30:00Z", false)]
#[case(json!({"syncOverrun": true}), "2026-11-24T11:30:00Z", false)]
fn a_sync_may_run_out_of_an_allow_that_lets_it(
    #[case] rest: Value,
    #[case] started: &str,
    #[case] may: bool,
) {
    let windows = windows(json!([window("allow", "0 12 * * *", "1h", rest)]));
    let now = "2026-11-24T13:30:00Z".parse().unwrap();
    let checked = windows.check_running(&SUBJECT, started.parse().unwrap(), now, false);
    assert_eq!(checked.is_ok(), may);
}

#[test]
fn a_field_that_nobody_knows_is_a_flaw_of_the_project() {
    let mut flaws = Vec::new();
    let spec = json!({"syncWindows": [{"kind": "allow", "odd": 1}]});
    SyncWindows::read(&mut Fields::of("spec", Some(&spec), &mut flaws));
    assert_eq!(flaws, ["spec.syncWindows[0].odd is not supported"]);
}

proptest! {
    #[test]
    fn an_allow_is_open_exactly_when_the_same_deny_is_closed(
        minute in 0_u32..60, hour in 0_u32..24, weekday in 0_u32..7, duration in 1_u32..3_000, second in 1_760_000_000_i64..1_800_000_000,
        zone in prop::sample::select(vec!["", "America/New_York", "Australia/Lord_Howe", "Asia/Tokyo"]),
    ) {
        let of = |kind: &str| windows(json!([window(kind, &format!("{minute} {hour} * * {weekday}"), &format!("{duration}m"), json!({"timeZone": zone}))]));
        let now = Timestamp::from_second(second).unwrap();
        let (allow, deny) = (of("allow"), of("deny"));
        prop_assert_eq!(allow.check(&SUBJECT, now, false).is_ok(), deny.check(&SUBJECT, now, false).is_err());
        if let Err(Closed::NotAllowed { opens: Some(opens), .. }) = allow.check(&SUBJECT, now, false) {
            prop_assert!(opens > now);
            prop_assert!(allow.check(&SUBJECT, opens, false).is_ok());
        }
    }
}

#[rstest]
// The end of the window that denies; where another begins before that, its end.
#[case(json!([window("deny", "0 22 * * *", "2h", json!({}))]), Some("2026-11-25T00:00:00Z"))]
#[case(
    json!([window("deny", "0 22 * * *", "2h", json!({})), window("deny", "0 23 * * *", "3h", json!({}))]),
    Some("2026-11-25T02:00:00Z")
)]
// The beginning of one that allows, once none denies any more.
#[case(json!([window("allow", "0 5 * * *", "1h", json!({}))]), Some("2026-11-25T05:00:00Z"))]
#[case(
    json!([window("allow", "0 5 * * *", "3h", json!({})), window("deny", "0 4 * * *", "2h", json!({}))]),
    Some("2026-11-25T06:00:00Z")
)]
// One that never ends, and one that nobody can read.
#[case(json!([window("deny", "* * * * *", "24h", json!({}))]), None)]
#[case(json!([window("deny", "soon", "24h", json!({}))]), None)]
fn a_closed_window_says_when_a_sync_is_possible_again(#[case] list: Value, #[case] opens: Option<&str>) {
    let now = "2026-11-24T22:30:00Z".parse().unwrap();
    let opens = opens.map(|opens| opens.parse().unwrap());
    assert_eq!(windows(list).opens(&SUBJECT, now, false), opens);
}
