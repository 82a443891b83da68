//! CCI's and the gateway's error codes (CCI API, error codes; API gateway, error codes) that say more than the HTTP status.

use super::Class;

/// What a code means, if it means more than the status beside it.
pub(super) fn class_of_code(code: &str) -> Option<Class> {
    Some(match code {
        "APIGW.0308" => Class::Throttled,
        // NoAllocatedCluster.
        "CCI.02.400116" => Class::Capacity,
        "CCI.02.409101" => Class::AlreadyExists,
        // The account has no agency for CCI, or IAM has no room for one.
        "CCI.01.400104" | "CCI.01.401102" | "CCI.01.403122" | "CCI.01.404101" => Class::OperatorAction,
        // In arrears, frozen, of another account, without the right.
        "CCI.01.403009" | "CCI.01.403010" | "CCI.01.403103" | "CCI.01.403104" => Class::OperatorAction,
        // The user lacks one of CCI's fine-grained rights.
        _ if is_lack_of_a_right(code) => Class::OperatorAction,
        // The quota of namespaces.
        "CCI.02.400106" => Class::OperatorAction,
        // GPU and OBS need an invitation: the pod asks for what this account does not have.
        "CCI.01.403101" | "CCI.01.403102" => Class::Invalid,
        // A flavor or a quota that is asked for by name: nothing is said of the object that the call is about.
        "CCI.02.404101" | "CCI.02.404102" | "CCI.02.404103" => Class::Invalid,
        "APIGW.0301" | "APIGW.0302" | "APIGW.0303" => Class::OperatorAction,
        // The gateway knows no such API: the endpoint is wrong, nothing is absent.
        "APIGW.0101" => Class::OperatorAction,
        _ => return None,
    })
}

/// One of `CCI.01.403105` to `CCI.01.403114`.
fn is_lack_of_a_right(code: &str) -> bool {
    code.strip_prefix("CCI.01.").is_some_and(|number| ("403105"..="403114").contains(&number))
}

/// What a person has to do about an answer that calls for one.
pub(super) fn remedy(code: &str, status: u16) -> &'static str {
    match (code, status) {
        ("CCI.01.403009", _) | ("", 402) => {
            "pay what the account owes, and pods are made again by themselves"
        }
        ("CCI.01.403010", _) => "have the account unfrozen by Huawei Cloud",
        ("CCI.01.401102" | "CCI.01.403122" | "CCI.01.404101", _) => {
            "authorise CCI once in its console, which makes its agency"
        }
        ("CCI.01.400104", _) => "remove an agency in IAM, or have their quota raised",
        ("CCI.01.403103", _) => "use credentials of the account that the project belongs to",
        ("CCI.02.400106", _) => "remove a namespace in CCI, or have their quota raised",
        ("APIGW.0101", _) => "check cci-endpoint and cci-profile",
        ("APIGW.0301" | "APIGW.0303", _) => "check the credentials, and the clock of this machine",
        ("CCI.01.403104" | "APIGW.0302", _) => {
            "give the user of the credentials the right to use CCI in this project"
        }
        _ if is_lack_of_a_right(code) => {
            "give the user of the credentials the right to use CCI in this project"
        }
        (_, 401) => "check the credentials",
        (_, _) => "see to it in the cloud's console",
    }
}
