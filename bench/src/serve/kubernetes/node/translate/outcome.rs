//! How a command ended: what the node says on the error stream, and what the client is told of it.

use serde_json::{Value, json};
use tokio::io::{AsyncRead, AsyncReadExt};

/// The most that is read of the error stream: a Status is a few hundred bytes.
const STATUS_BYTES_MAX: u64 = 64 * 1024;

/// How a command ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// Well, as far as anybody said.
    Success,
    /// With this exit code.
    Exit(i32),
    /// Something else went wrong.
    Broken(String),
}

impl Outcome {
    /// The Status that goes to the client.
    pub fn status(&self) -> Value {
        match self {
            Outcome::Success => json!({ "metadata": {}, "status": "Success" }),
            Outcome::Exit(code) => json!({
                "metadata": {},
                "status": "Failure",
                "message": format!(
                    "command terminated with non-zero exit code: command terminated with exit code {code}"
                ),
                "reason": "NonZeroExitCode",
                "details": { "causes": [{ "reason": "ExitCode", "message": code.to_string() }] },
            }),
            Outcome::Broken(why) => json!({
                "metadata": {},
                "status": "Failure",
                "message": format!("Internal error occurred: {why}"),
                "reason": "InternalError",
                "details": { "causes": [{ "message": why }] },
                "code": 500,
            }),
        }
    }

    /// What a node's Status comes to. Silence is success.
    fn of(text: &str) -> Outcome {
        if text.is_empty() {
            return Outcome::Success;
        }
        let Ok(status) = serde_json::from_str::<Value>(text) else {
            let first = text.trim_start().chars().next().unwrap_or(' ');
            return Outcome::Broken(format!(
                "error stream protocol error: invalid character '{first}' looking for beginning of value in {text:?}"
            ));
        };
        match (status["status"].as_str(), status["reason"].as_str()) {
            (Some("Success"), _) => Outcome::Success,
            (Some("Failure"), Some("NonZeroExitCode")) => Outcome::of_code(&status, text),
            (Some("Failure"), _) => {
                Outcome::Broken(status["message"].as_str().unwrap_or_default().to_owned())
            }
            _ => Outcome::Broken("error stream protocol error: unknown error".to_owned()),
        }
    }

    fn of_code(status: &Value, text: &str) -> Outcome {
        let causes =
            status.pointer("/details/causes").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
        let code = causes
            .iter()
            .find(|cause| cause["reason"] == "ExitCode")
            .and_then(|cause| cause["message"].as_str());
        match code.map(str::parse) {
            Some(Ok(code)) => Outcome::Exit(code),
            Some(Err(_)) => {
                Outcome::Broken(format!("error stream protocol error: invalid exit code value in {text:?}"))
            }
            None => {
                Outcome::Broken(format!("error stream protocol error: no ExitCode cause given in {text:?}"))
            }
        }
    }
}

/// Reads the error stream to its end, however it ends.
pub(super) async fn read(stream: &mut (impl AsyncRead + Unpin)) -> Outcome {
    let mut bytes = Vec::new();
    // What came before a stream broke off counts.
    let _read = stream.take(STATUS_BYTES_MAX).read_to_end(&mut bytes).await;
    Outcome::of(&String::from_utf8_lossy(&bytes))
}

/// What a refusal says, as client-go's SPDY transport reads it: a Status speaks by its message.
pub(super) fn told(text: &str) -> String {
    let status = serde_json::from_str::<Value>(text).ok().filter(|status| status["kind"] == "Status");
    let told = status.and_then(|status| status["message"].as_str().map(str::to_owned));
    let told = told.unwrap_or_else(|| text.trim().to_owned());
    if told.is_empty() { "empty server response".to_owned() } else { told }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nodes_word_is_taken_as_recorded() {
        let exit = r#"{"metadata":{},"status":"Failure","reason":"NonZeroExitCode","details":{"causes":[{"reason":"ExitCode","message":"7"}]}}"#;
        let gone = r#"{"status":"Failure","message":"Internal error occurred: container is gone","reason":"InternalError"}"#;
        let text = "error stream protocol error: invalid character 'p' looking for beginning of value in \"plain text\"";
        let cases = [
            ("", Outcome::Success),
            (r#"{"metadata":{},"status":"Success"}"#, Outcome::Success),
            (exit, Outcome::Exit(7)),
            (gone, Outcome::Broken("Internal error occurred: container is gone".to_owned())),
            ("plain text", Outcome::Broken(text.to_owned())),
        ];
        for (said, outcome) in cases {
            assert_eq!(Outcome::of(said), outcome, "{said}");
        }
        let message = Outcome::of(gone).status()["message"].as_str().unwrap().to_owned();
        assert_eq!(message, "Internal error occurred: Internal error occurred: container is gone");
        let exit_code = &Outcome::Exit(7).status()["details"]["causes"][0]["message"];
        assert_eq!(exit_code, "7");
    }

    #[test]
    fn refusals_are_told_as_recorded() {
        assert_eq!(told("pod does not exist\n"), "pod does not exist");
        assert_eq!(
            told(r#"{"kind":"Status","message":"pods \"probe\" not found"}"#),
            "pods \"probe\" not found"
        );
        assert_eq!(told(""), "empty server response");
    }
}
