//! What is said of a server beside whether it works: how much it gets, whether it is drained, how many connections it may
//! have. Said by an agent on the server, in the words of HAProxy's agent-check; by a file; or by a program, with its exit
//! status.
//!
//! What one answer does not mention stays as the last one that did said it.

use crate::config::health::File;
use lb_core::{
    limits::MAX_WEIGHT,
    service::plan::{Admin, Advice},
};

/// Most characters that are kept of what somebody says in his own words.
const MOST_WORDS: usize = 200;

/// A weight, as somebody says it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Share {
    /// Percent of the operator's.
    Percent(u32),
    /// That one.
    Exactly(u32),
    /// The operator's and so much more, or less.
    Plus(i64),
}

impl Share {
    /// What becomes of a weight. One that is more than 0 stays so, unless 0 is what is said: a part of 1 is not nothing.
    fn of(self, weight: u32) -> u32 {
        let most = u64::from(MAX_WEIGHT);
        match self {
            Share::Percent(0) => 0,
            Share::Percent(percent) => {
                let part = u64::from(weight) * u64::from(percent) / 100;
                part.clamp(u64::from(weight > 0), most) as u32
            }
            Share::Exactly(weight) => weight.min(MAX_WEIGHT),
            Share::Plus(more) => i64::from(weight).saturating_add(more).clamp(0, most as i64) as u32,
        }
    }
}

/// What one answer says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Told {
    pub(crate) weight: Option<Share>,
    pub(crate) admin: Option<Admin>,
    /// Most connections; 0 is any number.
    pub(crate) most: Option<u32>,
    /// Whether the server works; or why not.
    pub(crate) works: Option<Result<(), String>>,
    /// The answer itself, if it was one in words.
    pub(crate) words: String,
}

impl Told {
    /// That it works, and nothing else.
    pub(crate) fn works() -> Self {
        Told { works: Some(Ok(())), ..Told::default() }
    }

    /// What a line of HAProxy's agent-check says: words with blanks or commas between them, and a reason behind `#`.
    ///
    /// # Errors
    /// Names the first word that means nothing; then none of them counts.
    pub(crate) fn read(line: &str) -> Result<Self, String> {
        let line: String =
            line.trim().chars().filter(|c| !c.is_control() || *c == '\t').take(MOST_WORDS).collect();
        let (words, why) = line.split_once('#').map_or((&*line, ""), |(words, why)| (words, why.trim()));
        let mut told = Told::default();
        for word in words.split([' ', '\t', ',']).filter(|word| !word.is_empty()) {
            let lower = word.to_ascii_lowercase();
            match lower.as_str() {
                "up" => told.works = Some(Ok(())),
                "down" | "stopped" | "fail" | "failed" => {
                    let why = if why.is_empty() { String::new() } else { format!(": {why}") };
                    told.works = Some(Err(format!("{lower}{why}")));
                }
                "ready" => told.admin = Some(Admin::Enabled),
                "drain" => told.admin = Some(Admin::Draining),
                "maint" => told.admin = Some(Admin::Disabled),
                _ => {
                    let number = |text: &str| text.parse::<u32>().ok();
                    if let Some(percent) = lower.strip_suffix('%').and_then(number) {
                        told.weight = Some(Share::Percent(percent));
                    } else if let Some(most) = lower.strip_prefix("maxconn:").and_then(number) {
                        told.most = Some(most);
                    } else {
                        return Err(format!("{word:?} is no word of an agent's"));
                    }
                }
            }
        }
        told.words = line;
        Ok(told)
    }

    /// What the first line of a file says: a number as keepalived's track files have it, an agent's words, or the state of
    /// a BFD session. No line is the number 0.
    ///
    /// # Errors
    /// Names what means nothing.
    pub(crate) fn read_file(text: &str, file: &File) -> Result<Self, String> {
        let line = text.lines().next().unwrap_or_default().trim();
        let number: i64 = match line.parse() {
            Ok(number) => number,
            Err(_) if line.is_empty() => 0,
            Err(_) => return Told::read_state(line),
        };
        let works = match (file.weight, (number != 0) == file.reverse) {
            (0, false) => Err(format!("{} holds {number}", file.path.display())),
            _ => Ok(()),
        };
        let weight = i64::from(file.weight) * if file.reverse { -1 } else { 1 };
        let more = (file.weight > 0).then(|| Share::Plus(number.saturating_mul(weight)));
        Ok(Told { weight: more, works: Some(works), words: line.to_owned(), ..Told::default() })
    }

    /// RFC 5880 6.2, 6.8.16 has the states. A session that was shut on purpose says nothing of the server: RFC 5882 3.2.
    fn read_state(line: &str) -> Result<Self, String> {
        match line.to_ascii_lowercase().as_str() {
            "init" => {
                Ok(Told { works: Some(Err("init".to_owned())), words: line.to_owned(), ..Told::default() })
            }
            "admindown" => Ok(Told { words: line.to_owned(), ..Told::works() }),
            _ => Told::read(line),
        }
    }
}

/// All that one of them has said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Heard {
    weight: Option<Share>,
    admin: Admin,
    most: u32,
    /// It says that the server does not work, and why.
    pub(crate) down: Option<String>,
}

impl Default for Heard {
    fn default() -> Self {
        Heard { weight: None, admin: Admin::Enabled, most: 0, down: None }
    }
}

impl Heard {
    /// Takes in what is said now.
    pub(crate) fn hear(&mut self, told: &Told) {
        self.weight = told.weight.or(self.weight);
        self.admin = told.admin.unwrap_or(self.admin);
        self.most = told.most.unwrap_or(self.most);
        if let Some(works) = &told.works {
            self.down = works.clone().err();
        }
    }
}

/// What follows for a server with that weight, if its check and its agent said this.
pub(crate) fn advice(weight: u32, said: [&Heard; 2]) -> Advice {
    let has_weight = said.iter().any(|heard| heard.weight.is_some());
    let shares = said.iter().filter_map(|heard| heard.weight);
    Advice {
        weight: has_weight.then(|| shares.fold(weight, |weight, share| share.of(weight))),
        admin: said.iter().map(|heard| heard.admin).max().unwrap_or(Admin::Enabled),
        most: said.iter().map(|heard| heard.most).filter(|most| *most > 0).min().unwrap_or(0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn told(line: &str) -> Told {
        Told::read(line).unwrap_or_else(|reason| panic!("{line:?}: {reason}"))
    }

    #[test]
    fn an_agent_says_words() {
        assert_eq!(told("75%\n").weight, Some(Share::Percent(75)));
        let all = told("UP, ready\tmaxconn:30 110% # all is well");
        assert_eq!(
            (all.works, all.admin, all.most, all.weight),
            (Some(Ok(())), Some(Admin::Enabled), Some(30), Some(Share::Percent(110)))
        );
        assert_eq!(told("down # disk full").works, Some(Err("down: disk full".to_owned())));
        assert_eq!(told("stopped").works, Some(Err("stopped".to_owned())));
        assert_eq!(told("fail#").works, Some(Err("fail".to_owned())));
        assert_eq!(
            (told("drain").admin, told("maint").admin),
            (Some(Admin::Draining), Some(Admin::Disabled))
        );
        assert_eq!(Told { words: String::new(), ..told("") }, Told::default(), "nothing is nothing");
        for nonsense in
            ["75", "7 5%", "-1%", "%", "maxconn:", "maxconn:-1", "99999999999%", "up;down", "HTTP/1.1 200 OK"]
        {
            assert!(Told::read(nonsense).is_err(), "{nonsense}");
        }
        assert_eq!(Told::read("up sideways"), Err("\"sideways\" is no word of an agent's".to_owned()));
    }

    #[test]
    fn a_file_holds_a_number_or_words() {
        let file = |weight, reverse| File { path: "/run/web1".into(), weight, reverse };
        let works =
            |text, weight, reverse| Told::read_file(text, &file(weight, reverse)).unwrap().works.unwrap();
        let wrong = |number: &str| Err(format!("/run/web1 holds {number}"));
        assert_eq!(works("0\n", 0, false), Ok(()));
        assert_eq!(works("-3", 0, false), wrong("-3"));
        assert_eq!(works("", 0, false), Ok(()));
        assert_eq!(works("0", 0, true), wrong("0"));
        assert_eq!(works("1", 0, true), Ok(()));
        assert_eq!(works("5", 2, false), Ok(()));
        let weight = |text, weight, reverse| Told::read_file(text, &file(weight, reverse)).unwrap().weight;
        assert_eq!(weight("5 \nmore", 2, false), Some(Share::Plus(10)));
        assert_eq!(weight("5", 2, true), Some(Share::Plus(-10)));
        assert_eq!(weight("9223372036854775807", 65_535, false), Some(Share::Plus(i64::MAX)));
        assert_eq!(weight("5", 0, false), None);
        assert_eq!(weight("50% drain", 0, false), Some(Share::Percent(50)));
        let state = |text| works(text, 0, false).is_ok();
        assert_eq!(["Up", "AdminDown", "Init", "Down", "up"].map(state), [true, true, false, false, true]);
        assert!(Told::read_file("perhaps", &file(0, false)).is_err());
    }

    #[test]
    fn what_is_not_mentioned_stays() {
        let mut agent = Heard::default();
        let mut hear = |line: &str| {
            agent.hear(&told(line));
            (advice(40, [&Heard::default(), &agent]), agent.down.clone())
        };
        let said = |weight, admin, most| Advice { weight, admin, most };
        assert_eq!(hear("50%"), (said(Some(20), Admin::Enabled, 0), None));
        assert_eq!(hear("drain maxconn:7"), (said(Some(20), Admin::Draining, 7), None));
        assert_eq!(hear("down"), (said(Some(20), Admin::Draining, 7), Some("down".to_owned())));
        assert_eq!(hear("ready 100%"), (said(Some(40), Admin::Enabled, 7), Some("down".to_owned())));
        assert_eq!(hear("up maxconn:0"), (said(Some(40), Admin::Enabled, 0), None));
    }

    #[test]
    fn check_and_agent_count_together() {
        let heard = |weight, admin, most| Heard { weight, admin, most, down: None };
        let check = heard(Some(Share::Exactly(200)), Admin::Draining, 9);
        let agent = heard(Some(Share::Percent(25)), Admin::Enabled, 12);
        let both = Advice { weight: Some(50), admin: Admin::Draining, most: 9 };
        assert_eq!(advice(1, [&check, &agent]), both);
        assert_eq!(advice(7, [&Heard::default(), &Heard::default()]), Advice::default());
        let weight =
            |of, share| advice(of, [&heard(Some(share), Admin::Enabled, 0), &Heard::default()]).weight;
        assert_eq!(weight(1, Share::Percent(75)), Some(1), "a part of one is not nothing");
        assert_eq!(weight(100, Share::Percent(0)), Some(0));
        assert_eq!(weight(100, Share::Plus(-200)), Some(0));
        assert_eq!(weight(100, Share::Plus(i64::MAX)), Some(MAX_WEIGHT));
    }

    proptest! {
        #[test]
        fn any_line_is_read_or_refused(line in "\\PC*|[a-z%:#, 0-9]*", of in 0..=MAX_WEIGHT, weight in 0..9_u32) {
            let file = File { path: "/f".into(), weight, reverse: false };
            let mut heard = Heard::default();
            for told in [Told::read(&line), Told::read_file(&line, &file)].into_iter().flatten() {
                heard.hear(&told);
            }
            let advice = advice(of, [&heard, &Heard::default()]);
            prop_assert!(advice.weight.is_none_or(|weight| weight <= MAX_WEIGHT));
        }
    }
}
