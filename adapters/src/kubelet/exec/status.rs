//! How a command ended, in the words of Kubernetes.

use bytes::Bytes;
use serde::Deserialize;
use serde_json::json;

use super::bridge::Output;

/// Largest status that is passed on: one with a cause or two has a few hundred bytes.
const STATUS_BYTES_MAX: usize = 16 * 1024;

/// The command ended well.
pub(in crate::kubelet) fn success() -> Bytes {
    Bytes::from_static(br#"{"metadata":{},"status":"Success"}"#)
}

/// It cannot be said that it did. kubectl shows the message and exits with 1; without any status it would exit with 0.
pub(in crate::kubelet) fn failure(message: &str) -> Bytes {
    let status = json!({
        "metadata": {}, "status": "Failure", "message": message, "reason": "InternalError",
        "details": {"causes": [{"message": message}]}, "code": 500
    });
    Bytes::from(status.to_string())
}

/// In place of a last word that a session did not say: it was cut off, or the caller left and does not hear it.
pub(super) fn missing() -> Output {
    Output::Status(failure("the session was cut off: how the command ended is not known"))
}

/// What the cloud says, if it is a status; anything else is told as a failure with its words.
pub(super) fn of_the_cloud(told: Bytes) -> Bytes {
    #[derive(Deserialize)]
    struct Told {
        status: String,
    }
    let is_whole = told.len() <= STATUS_BYTES_MAX;
    match serde_json::from_slice::<Told>(&told) {
        Ok(Told { status }) if is_whole && (status == "Success" || status == "Failure") => told,
        Ok(_) | Err(_) => {
            let words = String::from_utf8_lossy(&told[..told.len().min(crate::TEXT_BYTES_MAX)]);
            failure(&crate::cut(&format!("the cloud ended the command with: {words}")))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_passes_and_anything_else_is_a_failure() {
        let exit = Bytes::from_static(br#"{"metadata":{},"status":"Failure","message":"m","reason":"NonZeroExitCode","details":{"causes":[{"reason":"ExitCode","message":"7"}]}}"#);
        assert_eq!(of_the_cloud(exit.clone()), exit);
        assert_eq!(of_the_cloud(success()), success());
        for text in ["plain text error", "{}", r#"{"status":"Perhaps"}"#, "[1]", "\u{1F600}"] {
            let status: serde_json::Value =
                serde_json::from_slice(&of_the_cloud(Bytes::copy_from_slice(text.as_bytes()))).unwrap();
            assert_eq!((&status["status"], &status["reason"]), (&json!("Failure"), &json!("InternalError")));
            assert!(status["message"].as_str().unwrap().contains(text), "{status}");
        }
    }
}
