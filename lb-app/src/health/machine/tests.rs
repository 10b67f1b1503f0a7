use super::*;
use proptest::prelude::*;

const RULES: Rules = Rules {
    rise: 2,
    fall: 3,
    assume_down: false,
    checked: true,
    advised: true,
    passive: true,
    flap_limit: 0,
    flap_window: Duration::from_secs(300),
    flap_hold: Duration::from_secs(60),
};

/// Runs a row of results, one second apart: `+` good, `-` bad. Returns the states after each: `U` or `D`, `H` when
/// held down.
fn walk(rules: Rules, results: &str) -> String {
    let mut machine = Machine::new(rules, Instant::ZERO);
    let mut states = String::new();
    for (second, result) in (1..).zip(results.chars()) {
        let now = Instant::from_millis(second * 1_000);
        let before = machine.is_up();
        let change = machine.result(result == '+', now);
        assert_eq!(change.is_some(), before != machine.is_up());
        states.push(match (machine.is_up(), machine.is_held()) {
            (true, _) => 'U',
            (false, true) => 'H',
            (false, false) => 'D',
        });
    }
    states
}

#[test]
fn an_agent_brings_down_and_lets_come_back() {
    let at = Instant::from_millis;
    let down = Some(Change::Down { held: false });
    let limited = Rules { flap_limit: 1, ..RULES };
    let mut machine = Machine::new(limited, at(0));
    machine.result(true, at(1));
    assert_eq!(machine.tell(true, at(2)), down);
    assert!(!machine.is_held() && !machine.is_held_back(), "it is down because somebody means it");
    assert_eq!(machine.tell(true, at(3)), None);
    for ms in 4..9 {
        assert_eq!(machine.result(true, at(ms)), None, "its check alone does not bring it back");
    }
    assert_eq!(machine.tell(false, at(9)), Some(Change::Up));
    // Down by its check as well, it comes back when both say so.
    machine.tell(true, at(10));
    machine.result(false, at(11));
    assert_eq!(machine.tell(false, at(12)), None);
    assert_eq!((machine.result(true, at(13)), machine.result(true, at(14))), (None, Some(Change::Up)));
    // An agent's word is no success of a check.
    let mut assumed = Machine::new(Rules { assume_down: true, ..RULES }, at(0));
    assert_eq!((assumed.tell(false, at(1)), assumed.is_up(), assumed.is_fresh()), (None, false, true));
    // Time that brings back what traffic brought down does not overrule it.
    let mut passive = Machine::new(Rules { checked: false, ..RULES }, at(0));
    passive.fail_passively(Duration::from_millis(5), at(1));
    passive.tell(true, at(2));
    assert_eq!((passive.due(), passive.tick(at(9))), (None, None));
    assert_eq!((passive.tell(false, at(10)), passive.tick(at(10))), (None, Some(Change::Up)));
    // Who has no agent any more is not down by it.
    machine.tell(true, at(15));
    assert_eq!(machine.set_rules(Rules { advised: false, ..limited }, at(16)), Some(Change::Up));
}

#[test]
fn rows_of_results() {
    let alpha = Rules { assume_down: true, ..RULES };
    let quick = Rules { rise: 1, fall: 1, ..RULES };
    let hold = Duration::from_secs(3);
    let damped = Rules { flap_limit: 2, flap_hold: hold, ..quick };
    let forgetful = Rules { flap_window: Duration::from_secs(2), ..damped };
    for (what, rules, results, states) in [
        ("fall in a row", RULES, "--+---", "UUUUUD"),
        ("rise in a row", RULES, "---+-++", "UUDDDDU"),
        ("one success is enough at start", alpha, "+", "U"),
        ("but only the very first", alpha, "-++", "DDU"),
        ("at once", quick, "-+-+", "DUDU"),
        ("held after the second fall, until good for long", damped, "-+-++++", "DUHHHHU"),
        ("a failure while held starts the wait anew", damped, "-+-++-++++", "DUHHHHHHHU"),
        ("falls long ago do not count", forgetful, "-+++-+", "DUUUDU"),
        ("and one who was held starts with what is remembered", damped, "-+-++++-+", "DUHHHHUHH"),
    ] {
        assert_eq!(walk(rules, results), states, "{what}");
    }
}

#[test]
fn traffic_brings_a_server_down_for_a_while() {
    let mut machine = Machine::new(RULES, Instant::ZERO);
    assert_eq!(machine.fail_passively(Duration::from_secs(30), at(1)), Some(Change::Down { held: false }));
    assert_eq!(machine.fail_passively(Duration::from_secs(30), at(2)), None, "it is down already");
    assert_eq!((machine.due(), machine.tick(at(30))), (Some(at(31)), None));
    assert_eq!(machine.tick(at(31)), Some(Change::Up));
    assert_eq!(machine.due(), None);
    machine.fail_passively(Duration::from_secs(30), at(40));
    assert_eq!(machine.result(true, at(41)), None);
    assert_eq!(machine.result(true, at(42)), Some(Change::Up), "its check brings it back earlier");
    assert_eq!(machine.tick(at(100)), None);
}

const HOLD: Duration = Duration::from_secs(4);

fn at(s: u64) -> Instant {
    Instant::from_millis(s * 1_000)
}

#[test]
fn time_alone_puts_back_no_server_whose_check_fails() {
    // One failure is enough on top of what traffic showed, before or after.
    for (before, after) in [("", "-"), ("", "+-"), ("--", ""), ("-", "-")] {
        let mut machine = Machine::new(RULES, Instant::ZERO);
        let results = |machine: &mut Machine, results: &str| {
            for result in results.chars() {
                assert_eq!(machine.result(result == '+', at(1)), None, "{before} {after}");
            }
        };
        results(&mut machine, before);
        assert!(machine.fail_passively(HOLD, at(1)).is_some());
        results(&mut machine, after);
        assert_eq!((machine.due(), machine.tick(at(1_000))), (None, None), "{before} {after}");
        assert!(!machine.is_held_back(), "its check knows that it is ill");
        assert_eq!(machine.result(true, at(1_001)), None);
        assert_eq!(machine.result(true, at(1_002)), Some(Change::Up), "{before} {after}");
    }
}

#[test]
fn time_alone_puts_back_no_server_that_is_held_for_flapping() {
    let rules = Rules { flap_limit: 2, flap_hold: Duration::from_secs(60), ..RULES };
    let mut machine = Machine::new(rules, Instant::ZERO);
    machine.fail_passively(HOLD, at(1));
    assert_eq!(machine.tick(at(5)), Some(Change::Up));
    assert_eq!(machine.fail_passively(HOLD, at(6)), Some(Change::Down { held: true }));
    assert_eq!((machine.due(), machine.tick(at(1_000))), (None, None), "it has to pass its checks");
    for s in 1_001..1_061 {
        assert_eq!(machine.result(true, at(s)), None);
    }
    assert_eq!(machine.result(true, at(1_061)), Some(Change::Up));

    // Without a check there is only time, but all of it.
    let mut machine = Machine::new(Rules { checked: false, ..rules }, Instant::ZERO);
    machine.fail_passively(HOLD, at(1));
    machine.tick(at(5));
    machine.fail_passively(HOLD, at(6));
    assert_eq!((machine.due(), machine.tick(at(10))), (Some(at(66)), None));
    assert_eq!(machine.tick(at(66)), Some(Change::Up));
}

#[test]
fn a_server_is_held_back_only_as_long_as_there_is_a_reason() {
    let flapping = Rules { flap_limit: 2, ..RULES };
    let held = || {
        let mut machine = Machine::new(flapping, Instant::ZERO);
        (1..=2).for_each(|s| {
            machine.fail_passively(HOLD, at(s));
            machine.tick(at(s) + HOLD);
        });
        assert!(machine.is_held());
        machine
    };
    let three = Rules { flap_limit: 3, passive: false, ..RULES };
    assert_eq!(held().set_rules(flapping, at(9)), None, "nothing has changed");
    assert_eq!(held().set_rules(three, at(9)), Some(Change::Up), "three failures are allowed now");
    let mut machine = Machine::new(RULES, Instant::ZERO);
    machine.fail_passively(HOLD, at(1));
    let actively = Rules { passive: false, ..RULES };
    assert_eq!(machine.set_rules(actively, at(2)), Some(Change::Up), "traffic is not looked at any more");
    let mut machine = Machine::new(RULES, Instant::ZERO);
    for s in 1..=3 {
        machine.result(false, at(s));
    }
    assert!(!machine.is_up());
    let unchecked = Rules { checked: false, ..RULES };
    assert_eq!(machine.set_rules(unchecked, at(4)), Some(Change::Up), "nobody would find out");
    let mut machine = held();
    assert!(!machine.is_well(), "nothing is known of it");
    machine.result(true, at(9));
    assert!(!machine.is_well());
    machine.result(true, at(10));
    assert!(machine.is_well());
    assert_eq!(machine.release(at(10)), Some(Change::Up));
}

proptest! {
    /// Whatever the results, a change needs a whole row of results that speak for it.
    #[test]
    fn no_change_without_a_row(
        rise in 1..5_u32, fall in 1..5_u32, flap_limit in 0..4_u32, results in prop::collection::vec(any::<bool>(), 0..200),
    ) {
        let rules = Rules { rise, fall, flap_limit, ..RULES };
        let mut machine = Machine::new(rules, Instant::ZERO);
        let (mut row, mut last) = (0, true);
        for (second, good) in (1..).zip(results) {
            row = if good == last { row + 1 } else { 1 };
            last = good;
            match machine.result(good, Instant::from_millis(second * 1_000)) {
                Some(Change::Up) => {
                    prop_assert!(good && row >= rise);
                    row = 0;
                }
                Some(Change::Down { .. }) => {
                    prop_assert!(!good && row >= fall);
                    row = 0;
                }
                None => (),
            }
            prop_assert!(machine.is_held() <= !machine.is_up());
        }
    }
}
