//! The query of a request.

use percent_encoding::percent_decode_str;

use super::Refused;

/// Pairs in one query. The head of a request bounds their bytes; this bounds what is kept beside them, and still takes
/// a command of a thousand words.
const PAIRS_MAX: usize = 1_024;

/// The pairs of a query, in order (`application/x-www-form-urlencoded`).
///
/// # Errors
/// 400 when there are too many, or one is no text.
pub(crate) fn parse(query: &str) -> Result<Vec<(String, String)>, Refused> {
    let mut pairs = Vec::new();
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        if pairs.len() == PAIRS_MAX {
            return Err(Refused::bad_request(format!("more than {PAIRS_MAX} words in the query")));
        }
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        pairs.push((text(name)?, text(value)?));
    }
    Ok(pairs)
}

fn text(escaped: &str) -> Result<String, Refused> {
    let spaced = escaped.replace('+', " ");
    match percent_decode_str(&spaced).decode_utf8() {
        Ok(text) if !text.contains('\0') => Ok(text.into_owned()),
        Ok(_) | Err(_) => Err(Refused::bad_request("the query holds what is no text")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_comes_through_as_it_was_typed() {
        // As recorded: kubectl exec probe -- sh -c 'echo "a  b" && ls /x&y=1 +%é' '' 'last arg'.
        let query = "command=sh&command=-c&command=echo+%22a++b%22+%26%26+ls+%2Fx%26y%3D1+%2B%25%C3%A9&command=\
                     &command=last+arg&error=1";
        let words: Vec<String> = parse(query).unwrap().into_iter().map(|(_, value)| value).collect();
        assert_eq!(words, ["sh", "-c", "echo \"a  b\" && ls /x&y=1 +%é", "", "last arg", "1"]);
    }

    #[test]
    fn what_is_no_text_or_too_much_is_refused() {
        assert!(parse("a=%ff").is_err());
        assert!(parse("a=%00").is_err());
        assert_eq!(parse("a&b=&&c=d=e").unwrap().len(), 3);
        assert!(parse(&"a&".repeat(PAIRS_MAX)).is_ok());
        assert!(parse(&"a&".repeat(PAIRS_MAX + 1)).is_err());
    }
}
