//! Did you mean.

/// The candidate that `word` is most likely a misspelling of: close, or equal but for case and `-`, `_`.
pub(crate) fn did_you_mean<'a, C>(word: &str, candidates: C) -> Option<&'a str>
where
    C: IntoIterator<Item = &'a str>,
{
    let folded = |text: &str| text.to_lowercase().replace(['-', '_', ' '], "");
    let wanted = folded(word);
    // In a word of two letters every letter counts.
    let allowed = match wanted.chars().count() {
        0..=2 => 0,
        3..=5 => 1,
        n => (n / 3).min(4),
    };
    candidates
        .into_iter()
        .filter_map(|candidate| {
            let distance = strsim::damerau_levenshtein(&wanted, &folded(candidate));
            (distance <= allowed && candidate != word).then_some((distance, candidate))
        })
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

/// "did you mean `name`?", where something is close.
pub(crate) fn suggestion<'a, C>(word: &str, candidates: C) -> Option<String>
where
    C: IntoIterator<Item = &'a str>,
{
    did_you_mean(word, candidates).map(|close| format!("did you mean `{close}`?"))
}
