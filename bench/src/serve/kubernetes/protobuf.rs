//! As much protobuf as kubectl speaks when it makes an object without a file (`kubectl create namespace`,
//! `configmap`, `secret`, `serviceaccount`, `service`, `deployment`, `job`) or approves one
//! (`kubectl certificate`): it sends protobuf and does not turn to JSON when told to. Answers are JSON,
//! which it takes.
//!
//! The tables hold the fields that these commands set. A field that is set and not in a table is refused,
//! so that nothing is lost without a word.

use serde_json::{Map, Value, json};

use crate::world::cluster::{Status, base64};

/// What precedes every object on the wire.
const MAGIC: &[u8] = b"k8s\0";

/// Messages inside messages: the deepest is a container port in a deployment.
const DEPTH_MAX: usize = 8;

/// Number, JSON name and shape of a field.
type Field = (u64, &'static str, Shape);

#[derive(Clone, Copy, Debug)]
enum Shape {
    Text,
    Integer,
    Flag,
    Texts,
    TextMap,
    BytesMap,
    Bytes,
    /// A message of its own: 1 is the seconds since 1970.
    Time,
    /// Not the client's to set, and kept as it is stored.
    Kept,
    /// A message of its own: 1 says which it is, 2 is the number, 3 the text.
    IntOrText,
    Message(&'static [Field]),
    List(&'static [Field]),
}

use Shape::{Bytes, BytesMap, Flag, IntOrText, Integer, Kept, List, Message, Text, TextMap, Texts, Time};

const METADATA: &[Field] = &[
    (1, "name", Text),
    (2, "generateName", Text),
    (3, "namespace", Text),
    (11, "labels", TextMap),
    (12, "annotations", TextMap),
    (14, "finalizers", Texts),
];
const NAMESPACE: &[Field] = &[(1, "metadata", Message(METADATA))];
const CONFIG_MAP: &[Field] = &[
    (1, "metadata", Message(METADATA)),
    (2, "data", TextMap),
    (3, "binaryData", BytesMap),
    (4, "immutable", Flag),
];
const SECRET: &[Field] = &[
    (1, "metadata", Message(METADATA)),
    (2, "data", BytesMap),
    (3, "type", Text),
    (4, "stringData", TextMap),
    (5, "immutable", Flag),
];
const SERVICE_ACCOUNT: &[Field] = &[(1, "metadata", Message(METADATA))];
const PORT: &[Field] =
    &[(1, "name", Text), (2, "hostPort", Integer), (3, "containerPort", Integer), (4, "protocol", Text)];
const CONTAINER: &[Field] = &[
    (1, "name", Text),
    (2, "image", Text),
    (3, "command", Texts),
    (4, "args", Texts),
    (6, "ports", List(PORT)),
    (14, "imagePullPolicy", Text),
];
const POD_SPEC: &[Field] =
    &[(2, "containers", List(CONTAINER)), (3, "restartPolicy", Text), (7, "nodeSelector", TextMap)];
const TEMPLATE: &[Field] = &[(1, "metadata", Message(METADATA)), (2, "spec", Message(POD_SPEC))];
const SELECTOR: &[Field] = &[(1, "matchLabels", TextMap)];
const DEPLOYMENT_SPEC: &[Field] =
    &[(1, "replicas", Integer), (2, "selector", Message(SELECTOR)), (3, "template", Message(TEMPLATE))];
const DEPLOYMENT: &[Field] = &[(1, "metadata", Message(METADATA)), (2, "spec", Message(DEPLOYMENT_SPEC))];
const SERVICE_PORT: &[Field] = &[
    (1, "name", Text),
    (2, "protocol", Text),
    (3, "port", Integer),
    (4, "targetPort", IntOrText),
    (5, "nodePort", Integer),
];
const SERVICE_SPEC: &[Field] = &[
    (1, "ports", List(SERVICE_PORT)),
    (2, "selector", TextMap),
    (3, "clusterIP", Text),
    (4, "type", Text),
    (10, "externalName", Text),
];
const SERVICE: &[Field] = &[(1, "metadata", Message(METADATA)), (2, "spec", Message(SERVICE_SPEC))];
/// The metadata of an object that was read before.
const STORED_METADATA: &[Field] = &[
    (1, "name", Text),
    (2, "generateName", Text),
    (5, "uid", Text),
    (6, "resourceVersion", Text),
    (8, "creationTimestamp", Kept),
    (11, "labels", TextMap),
    (12, "annotations", TextMap),
    (17, "managedFields", Kept),
];
const CONDITION: &[Field] = &[
    (1, "type", Text),
    (2, "reason", Text),
    (3, "message", Text),
    (4, "lastUpdateTime", Time),
    (5, "lastTransitionTime", Time),
    (6, "status", Text),
];
const SIGNING_REQUEST_STATUS: &[Field] = &[(1, "conditions", List(CONDITION)), (2, "certificate", Bytes)];
/// As `certificate approve` and `deny` send it: what is asked for stays as it is.
const SIGNING_REQUEST: &[Field] = &[
    (1, "metadata", Message(STORED_METADATA)),
    (2, "spec", Kept),
    (3, "status", Message(SIGNING_REQUEST_STATUS)),
];
const JOB_SPEC: &[Field] =
    &[(1, "parallelism", Integer), (2, "completions", Integer), (6, "template", Message(TEMPLATE))];
const JOB: &[Field] = &[(1, "metadata", Message(METADATA)), (2, "spec", Message(JOB_SPEC))];

/// Reads an object.
///
/// # Errors
/// 400 for bytes that are not what they should be; 415 for a kind or a field that the tables do not hold.
pub(super) fn read(bytes: &[u8]) -> Result<Value, Status> {
    let envelope = bytes.strip_prefix(MAGIC).ok_or_else(broken)?;
    let (mut type_meta, mut raw): (&[u8], &[u8]) = (&[], &[]);
    each_field(envelope, |number, value| {
        match (number, value) {
            (1, Wire::Bytes(bytes)) => type_meta = bytes,
            (2, Wire::Bytes(bytes)) => raw = bytes,
            _ => {}
        }
        Ok(())
    })?;
    let types = message(&[(1, "apiVersion", Text), (2, "kind", Text)], type_meta, 0)?;
    let fields = match types["kind"].as_str().unwrap_or_default() {
        "Namespace" => NAMESPACE,
        "ConfigMap" => CONFIG_MAP,
        "Secret" => SECRET,
        "ServiceAccount" => SERVICE_ACCOUNT,
        "Service" => SERVICE,
        "Deployment" => DEPLOYMENT,
        "Job" => JOB,
        "CertificateSigningRequest" => SIGNING_REQUEST,
        _ => return Err(Status::unsupported_media_type()),
    };
    let mut object = message(fields, raw, 0)?;
    object["apiVersion"] = types["apiVersion"].clone();
    object["kind"] = types["kind"].clone();
    Ok(object)
}

enum Wire<'b> {
    Number(u64),
    Bytes(&'b [u8]),
}

impl Wire<'_> {
    /// The wire format of the API holds fields that are not set, too.
    fn is_set(&self) -> bool {
        match self {
            Wire::Number(number) => *number != 0,
            Wire::Bytes(bytes) => !is_blank(bytes, 0),
        }
    }
}

/// Whether bytes are nothing, or a message in which nothing is set.
fn is_blank(bytes: &[u8], depth: usize) -> bool {
    let mut blank = depth < DEPTH_MAX;
    let read = each_field(bytes, |_, value| {
        blank &= match value {
            Wire::Number(number) => number == 0,
            Wire::Bytes(inner) => is_blank(inner, depth + 1),
        };
        Ok(())
    });
    bytes.is_empty() || (read.is_ok() && blank)
}

fn message(fields: &[Field], bytes: &[u8], depth: usize) -> Result<Value, Status> {
    if depth > DEPTH_MAX {
        return Err(broken());
    }
    let mut members = Map::new();
    each_field(bytes, |number, value| {
        let Some((_, name, shape)) = fields.iter().find(|(known, _, _)| *known == number) else {
            return if value.is_set() { Err(Status::unsupported_media_type()) } else { Ok(()) };
        };
        add(&mut members, name, *shape, value, depth)
    })?;
    Ok(Value::Object(members))
}

fn add(
    members: &mut Map<String, Value>,
    name: &str,
    shape: Shape,
    value: Wire<'_>,
    depth: usize,
) -> Result<(), Status> {
    match (shape, value) {
        (Text, Wire::Bytes(bytes)) if !bytes.is_empty() => {
            members.insert(name.to_owned(), json!(text(bytes)?));
        }
        (Text, Wire::Bytes(_)) => {}
        (Integer, Wire::Number(number)) => {
            members.insert(name.to_owned(), json!(number as i64));
        }
        (Flag, Wire::Number(number)) => {
            members.insert(name.to_owned(), json!(number != 0));
        }
        (Kept, _) => {}
        (Bytes, Wire::Bytes([])) => {}
        (Bytes, Wire::Bytes(bytes)) => {
            members.insert(name.to_owned(), json!(base64(bytes)));
        }
        (Time, Wire::Bytes(bytes)) => {
            let parts = message(&[(1, "seconds", Integer), (2, "nanos", Integer)], bytes, depth + 1)?;
            // A time that is not set is a message of nothing.
            if let Some(seconds) = parts["seconds"].as_i64() {
                let time = jiff::Timestamp::from_second(seconds).map_err(|_| broken())?;
                members.insert(name.to_owned(), json!(time.to_string()));
            }
        }
        (Texts, Wire::Bytes(bytes)) => push(members, name, json!(text(bytes)?)),
        (List(fields), Wire::Bytes(bytes)) => push(members, name, message(fields, bytes, depth + 1)?),
        (Message(fields), Wire::Bytes(bytes)) => {
            members.insert(name.to_owned(), message(fields, bytes, depth + 1)?);
        }
        (IntOrText, Wire::Bytes(bytes)) => {
            let parts =
                message(&[(1, "isText", Flag), (2, "number", Integer), (3, "text", Text)], bytes, depth + 1)?;
            let chosen = if parts["isText"] == true { &parts["text"] } else { &parts["number"] };
            members.insert(name.to_owned(), chosen.clone());
        }
        (TextMap | BytesMap, Wire::Bytes(bytes)) => {
            let (key, value) = map_entry(bytes)?;
            let value = if matches!(shape, TextMap) { text(value)?.to_owned() } else { base64(value) };
            let map = members.entry(name).or_insert_with(|| json!({}));
            map[text(key)?] = json!(value);
        }
        (
            Text | Texts | TextMap | Bytes | BytesMap | Time | IntOrText | Message(_) | List(_),
            Wire::Number(_),
        )
        | (Integer | Flag, Wire::Bytes(_)) => return Err(broken()),
    }
    Ok(())
}

fn push(members: &mut Map<String, Value>, name: &str, value: Value) {
    if let Some(list) = members.entry(name).or_insert_with(|| json!([])).as_array_mut() {
        list.push(value);
    }
}

fn map_entry(bytes: &[u8]) -> Result<(&[u8], &[u8]), Status> {
    let (mut key, mut value): (&[u8], &[u8]) = (&[], &[]);
    each_field(bytes, |number, wire| {
        match (number, wire) {
            (1, Wire::Bytes(bytes)) => key = bytes,
            (2, Wire::Bytes(bytes)) => value = bytes,
            _ => return Err(broken()),
        }
        Ok(())
    })?;
    Ok((key, value))
}

fn each_field<'b>(
    mut bytes: &'b [u8],
    mut take: impl FnMut(u64, Wire<'b>) -> Result<(), Status>,
) -> Result<(), Status> {
    while !bytes.is_empty() {
        let tag = variable(&mut bytes)?;
        let value = match tag & 7 {
            0 => Wire::Number(variable(&mut bytes)?),
            2 => {
                let length = usize::try_from(variable(&mut bytes)?).map_err(|_| broken())?;
                let (inside, rest) = bytes.split_at_checked(length).ok_or_else(broken)?;
                bytes = rest;
                Wire::Bytes(inside)
            }
            _ => return Err(broken()),
        };
        take(tag >> 3, value)?;
    }
    Ok(())
}

/// A number of seven bits a byte, lowest first.
fn variable(bytes: &mut &[u8]) -> Result<u64, Status> {
    let mut number = 0_u64;
    for shift in (0..64).step_by(7) {
        let (byte, rest) = bytes.split_first().ok_or_else(broken)?;
        *bytes = rest;
        number |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Ok(number);
        }
    }
    Err(broken())
}

fn text(bytes: &[u8]) -> Result<&str, Status> {
    std::str::from_utf8(bytes).map_err(|_| broken())
}

fn broken() -> Status {
    Status::bad_request("the object provided is unrecognized: not the protobuf of a known kind")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn field(number: u8, inside: &[u8]) -> Vec<u8> {
        [&[number << 3 | 2, inside.len() as u8], inside].concat()
    }

    fn envelope(kind: &str, raw: &[u8]) -> Vec<u8> {
        let types = [field(1, b"v1"), field(2, kind.as_bytes())].concat();
        [MAGIC, &field(1, &types), &field(2, raw)].concat()
    }

    #[test]
    fn an_object_is_read_and_blank_fields_are_passed_over() {
        let metadata = [field(1, b"demo"), field(2, b""), field(8, b"")].concat();
        let entry = [field(1, b"key"), field(2, b"value")].concat();
        let raw = [field(1, &metadata), field(2, &entry)].concat();
        let expected = |kind: &str, value: &str| json!({ "apiVersion": "v1", "kind": kind, "metadata": { "name": "demo" }, "data": { "key": value } });
        assert_eq!(read(&envelope("ConfigMap", &raw)).unwrap(), expected("ConfigMap", "value"));
        assert_eq!(read(&envelope("Secret", &raw)).unwrap(), expected("Secret", "dmFsdWU="));
    }

    #[test]
    fn an_approval_is_read_and_what_it_may_not_change_is_left_out() {
        let time = [1 << 3, 0x80, 0xe8, 0x84, 0xd2, 0x05];
        let condition = [field(1, b"Approved"), field(4, &time), field(5, &[]), field(6, b"True")].concat();
        let metadata = [field(1, b"csr-a"), field(6, b"7"), field(8, &time)].concat();
        let raw =
            [field(1, &metadata), field(2, &field(1, b"PEM")), field(3, &field(1, &condition))].concat();
        let read = read(&envelope("CertificateSigningRequest", &raw)).unwrap();
        assert_eq!(read["metadata"], json!({ "name": "csr-a", "resourceVersion": "7" }));
        let condition =
            json!({ "type": "Approved", "lastUpdateTime": "2017-12-25T17:23:12Z", "status": "True" });
        assert_eq!((&read["status"]["conditions"], read.get("spec")), (&json!([condition]), None));
    }

    #[test]
    fn the_target_of_a_port_is_a_number_or_a_name() {
        let port = |target: &[u8]| field(1, &[&[3 << 3, 80], field(4, target).as_slice()].concat());
        let numbered = port(&[1 << 3, 0, 2 << 3, 81]);
        let named = port(&[&[1 << 3, 1, 2 << 3, 0], field(3, b"http").as_slice()].concat());
        let service = read(&envelope("Service", &field(2, &[numbered, named].concat()))).unwrap();
        let ports = json!([{ "port": 80, "targetPort": 81 }, { "port": 80, "targetPort": "http" }]);
        assert_eq!(service["spec"]["ports"], ports);
    }

    #[test]
    fn what_would_be_lost_is_refused_and_no_bytes_make_it_panic() {
        let raw = field(1, &field(13, b"owner"));
        assert_eq!(read(&envelope("Namespace", &raw)).unwrap_err().code, 415);
        assert_eq!(read(&envelope("Node", &[])).unwrap_err().code, 415);
        let whole = envelope("Namespace", &field(1, &field(1, b"demo")));
        for end in 0..whole.len() {
            let _read = read(&whole[..end]);
        }
        assert_eq!(read(b"k8s\0\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff").unwrap_err().code, 400);
    }
}
