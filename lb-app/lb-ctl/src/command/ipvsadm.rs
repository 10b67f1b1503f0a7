//! The listings of `ipvsadm` in its own words: `-Ln`, `-Ln --stats`, `-Ln --rate`, `-Lnc`.

/// The command that these arguments mean, if they are one of ipvsadm's listings.
#[must_use]
pub fn listing(arguments: &[String]) -> Option<Vec<String>> {
    let (mut list, mut connections, mut how) = (false, false, None);
    for argument in arguments {
        match argument.as_str() {
            "--list" => list = true,
            "--numeric" => {}
            "--connection" => connections = true,
            "--stats" | "--rate" => how = Some(argument.clone()),
            _ => {
                for letter in argument.strip_prefix('-').filter(|letters| !letters.is_empty())?.chars() {
                    match letter {
                        'L' | 'l' => list = true,
                        'n' => {}
                        'c' => connections = true,
                        _ => return None,
                    }
                }
            }
        }
    }
    let what = if connections { "connections" } else { "services" };
    let words = ["show", what].into_iter().chain((!connections).then_some("--nameless"));
    list.then(|| words.map(str::to_owned).chain(how.filter(|_| !connections)).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn listings_are_translated() {
        let means = |line: &str| {
            let words: Vec<String> = line.split(' ').map(str::to_owned).collect();
            listing(&words).map(|words| words.join(" "))
        };
        assert_eq!(means("-Ln").as_deref(), Some("show services --nameless"));
        assert_eq!(means("-L -n --rate").as_deref(), Some("show services --nameless --rate"));
        assert_eq!(means("--list --stats").as_deref(), Some("show services --nameless --stats"));
        assert_eq!(means("-Lnc").as_deref(), Some("show connections"));
        assert_eq!(means("-n"), None);
        assert_eq!(means("-C"), None);
    }
}
