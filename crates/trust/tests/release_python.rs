//! An independent implementation of CBOR and COSE (cbor2 and pycose, PyPI) and Rootcast verify each other's releases.

mod support;

use std::io::Write;
use std::process::{Command, Stdio};

use rootcast_trust::release::{Purposes, Release, ReleaseError, ReleaseKey, TrustRecord, TrustedKey};
use rootcast_trust::sign::create_release;
use serde_json::{Value, json};
use support::python_has;
use support::release::*;

/// Runs a Python program with JSON in and JSON out.
fn python(program: &str, input: &Value) -> Value {
    let mut child = Command::new("python3")
        .args(["-c", program])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(input.to_string().as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn from_hex(text: &str) -> Vec<u8> {
    (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap()).collect()
}

const VERIFY: &str = r#"
import sys, json, hashlib, cbor2
from pycose.messages import Sign1Message
from pycose.headers import KID
from pycose.keys import EC2Key
from pycose.keys.curves import P256
job = json.load(sys.stdin)
release = bytes.fromhex(job["release"])
key = EC2Key(crv=P256, x=bytes.fromhex(job["x"]), y=bytes.fromhex(job["y"]))
envelope = cbor2.loads(release)
assert envelope.tag == 107 and list(envelope.value) == [2, 3]
wrapper = cbor2.loads(envelope.value[2])
algorithm, digest = cbor2.loads(wrapper[0])
assert algorithm == -16
assert digest == hashlib.sha256(cbor2.dumps(envelope.value[3])).digest()
cose = cbor2.loads(wrapper[1])
assert cose.tag == 18
# Not Sign1Message.decode: cbor2 6 makes tuples within tags, and pycose 1.1 asks for lists.
signature = Sign1Message.from_cose_obj([cose.value[0], dict(cose.value[1]), cose.value[2], cose.value[3]], True)
signature.key = key
good = signature.verify_signature(detached_payload=wrapper[0])
bad = signature.verify_signature(detached_payload=wrapper[0][:-1] + b"\x00")
manifest = cbor2.loads(envelope.value[3])
common = cbor2.loads(manifest[3])
shared = cbor2.loads(common[4])
variants = []
for sequence in shared[2 * shared[::2].index(15) + 1]:
    commands = cbor2.loads(sequence)
    parameters = {k: v for i in range(0, len(commands), 2) if commands[i] == 20 for k, v in commands[i + 1].items()}
    arguments = cbor2.loads(parameters[25])
    variants.append({
        "class": parameters[2].hex(), "sha256": cbor2.loads(parameters[3])[1].hex(), "size": parameters[14],
        "uri": parameters[21], "image_hash": arguments[1].hex(), "pages": arguments[2].hex(), "name": arguments[32],
    })
# Re-encoded by cbor2 with definite lengths and shortest forms, the release is the same bytes: it is deterministic.
again = cbor2.dumps(cbor2.CBORTag(107, {2: envelope.value[2], 3: envelope.value[3]}))
json.dump({
    "good": good, "bad": bad, "version": manifest[1], "sequence": manifest[2], "signed_at": manifest[-259],
    "vendor": shared[1][1].hex(), "not_after": shared[1][4], "validate": cbor2.loads(manifest[7]),
    "install": cbor2.loads(manifest[20]), "text": cbor2.loads(manifest[23])["en"][(b"app",)][6],
    "set_version": cbor2.loads(manifest[6]), "variants": variants, "kid": signature.phdr[KID].hex(),
    "same_bytes": again == release,
    "manifest_same_bytes": cbor2.dumps(manifest) == envelope.value[3],
}, sys.stdout)
"#;

#[test]
fn pycose_verifies_our_signature_and_cbor2_reads_our_manifest() {
    if !(python_has("pycose") && python_has("cbor2")) {
        return;
    }
    let key = key();
    let spec = spec();
    let release = create_release(&spec, std::slice::from_ref(&key)).unwrap();
    let point = public(&key).0;
    let said =
        python(VERIFY, &json!({"release": hex(&release), "x": hex(&point[..32]), "y": hex(&point[32..])}));
    let variants: Vec<Value> = spec
        .variants
        .iter()
        .rev()
        .map(|variant| {
            json!({
                "class": hex(&variant.class.id(vendor()).0),
                "sha256": hex(&variant.sha256),
                "size": variant.size,
                "uri": variant.uri,
                "image_hash": hex(&variant.image_hash.0),
                "pages": hex(&variant.page_digests),
                "name": variant.class.name(),
            })
        })
        .collect();
    assert_eq!(
        said,
        json!({
            "good": true, "bad": false, "version": 1, "sequence": 5, "signed_at": spec.signed_at,
            "vendor": hex(&vendor().0), "not_after": spec.not_after, "validate": [3, 15], "install": [21, 2, 3, 15],
            "text": "2.5.1", "set_version": [2, 5, 1], "variants": variants,
            "kid": hex(&public(&key).id().short()),
            "same_bytes": true, "manifest_same_bytes": true,
        })
    );
}

const CREATE: &str = r#"
import sys, json, hashlib, uuid, cbor2
from pycose.messages import Sign1Message
from pycose.headers import Algorithm, KID
from pycose.algorithms import Es256
from pycose.keys import EC2Key
from pycose.keys.curves import P256
job = json.load(sys.stdin)
key = EC2Key.generate_key(crv=P256)
vendor = uuid.uuid5(uuid.NAMESPACE_DNS, "example.com")
def variant(name, uri, content):
    return cbor2.dumps([
        20, {2: uuid.uuid5(vendor, name).bytes}, 2, 15,
        20, {3: cbor2.dumps([-16, hashlib.sha256(content).digest()]), 14: len(content), 21: uri},
    ])
shared = [20, {1: vendor.bytes}, 1, 15, 15, [
    variant("esp32c3:switch", "switch.bin", b"c3 image"), variant("esp32:relay", "relay.bin", b"esp32 image"),
]]
common = {2: [[b"app"]], 4: cbor2.dumps(shared)}
manifest = cbor2.dumps({
    1: 1, 2: 41, 3: cbor2.dumps(common), 7: cbor2.dumps([3, 15]), 20: cbor2.dumps([21, 2, 3, 15]), -259: 1782860400,
})
payload = cbor2.dumps([-16, hashlib.sha256(cbor2.dumps(manifest)).digest()])
thumbprint = hashlib.sha256(cbor2.dumps({1: 2, -1: 1, -2: key.x, -3: key.y})).digest()
headers = {"protected": ({Algorithm: Es256, KID: thumbprint[:8]}, {}), "unprotected": ({Algorithm: Es256}, {KID: thumbprint}), "none": ({Algorithm: Es256}, {})}
phdr, uhdr = headers[job["kid"]]
message = Sign1Message(phdr=phdr, uhdr=uhdr)
message.key = key
detached = message.encode(detached_payload=payload)
release = cbor2.dumps(cbor2.CBORTag(107, {2: cbor2.dumps([payload, detached]), 3: manifest}))
json.dump({"release": release.hex(), "x": key.x.hex(), "y": key.y.hex(), "thumbprint": thumbprint.hex()}, sys.stdout)
"#;

#[test]
fn we_verify_a_release_that_pycose_signed_and_cbor2_wrote() {
    if !(python_has("pycose") && python_has("cbor2")) {
        return;
    }
    for kid in ["protected", "unprotected", "none"] {
        let made = python(CREATE, &json!({ "kid": kid }));
        let field = |name: &str| from_hex(made[name].as_str().unwrap());
        let point: Vec<u8> = [vec![4], field("x"), field("y")].concat();
        let key = ReleaseKey::from_sec1(&point.try_into().unwrap()).unwrap();
        assert_eq!(key.id().0[..], field("thumbprint"), "the COSE key thumbprint of RFC 9679");
        let mut trust = TrustRecord::default();
        trust.release_keys.push(TrustedKey::new(key, Purposes::RELEASES)).unwrap();

        let bytes = field("release");
        let release = Release::verify(&bytes, &trust).unwrap_or_else(|error| panic!("{kid}: {error}"));
        assert_eq!((release.sequence_number(), release.vendor()), (41, vendor()));
        let switch = class(rootcast_image::ChipId::ESP32C3, "switch").id(vendor());
        let variant = release.variant_for(vendor(), &[switch]).unwrap();
        assert_eq!((variant.uri, variant.size), ("switch.bin", 8));

        let stranger = trusting(&[&support::release::key()]);
        assert_eq!(Release::verify(&bytes, &stranger).unwrap_err(), ReleaseError::UntrustedKey);
        for at in 0..bytes.len() {
            let mut broken = bytes.clone();
            broken[at] ^= 1;
            assert!(Release::verify(&broken, &trust).is_err(), "{kid}, byte {at}");
        }
    }
}

const OTHER_ENCODINGS: &str = r#"
import sys, json, cbor2
job = json.load(sys.stdin)
print(json.dumps([repr(cbor2.loads(bytes.fromhex(item))) for item in job]))
"#;

#[test]
fn what_cbor2_reads_and_we_refuse_is_what_has_another_encoding() {
    // cbor2 takes each of these; a release that has two encodings does not exist for us.
    if !python_has("cbor2") {
        return;
    }
    let read = python(
        OTHER_ENCODINGS,
        &json!(["1817", "9f01ff", "bf0102ff", "5f4101ff", "a201020103", "a202010102"]),
    );
    assert_eq!(read.as_array().map(Vec::len), Some(6), "{read}");
}
