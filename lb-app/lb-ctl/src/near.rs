//! "Did you mean": the word that somebody probably meant.

/// The candidate that `word` was probably meant to be.
#[must_use]
pub fn nearest<'a>(word: &str, candidates: &[&'a str]) -> Option<&'a str> {
    let word = word.to_lowercase();
    let near = candidates.iter().map(|candidate| (strsim::damerau_levenshtein(&word, candidate), *candidate));
    near.filter(|(distance, candidate)| *distance <= (candidate.len() / 3).clamp(1, 3))
        .min()
        .map(|(_, candidate)| candidate)
}
