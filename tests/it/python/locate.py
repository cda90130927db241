"""A member's client in another language, made of the published contract and standard libraries alone.

It knows nothing of Signpost but `proto/` and how a token is made: stubs come from protoc, the connection from gRPC,
the signature from `cryptography`. What it saw is printed as one JSON object; whatever breaks the contract ends it.

usage: locate.py locate PKI MEMBER ADDRESS OUT    locate a patient, fetch the one document, write it to OUT
       locate.py refuse PKI MEMBER ADDRESS        call without a token, and read why it was refused
"""

import base64
import hashlib
import json
import pathlib
import ssl
import sys
import tempfile
import time
import uuid

import grpc
import grpc_tools
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from grpc_tools import protoc

PROTO = pathlib.Path(__file__).resolve().parents[3] / "proto"
CHUNK_BYTES_MAX = 64 << 10
TIMEOUT_S = 30

# The two messages of google/rpc that errors are made of (AIP-193), with the names and numbers that everyone uses.
ERRORS = """
syntax = "proto3";
package google.rpc;
import "google/protobuf/any.proto";
message Status {
  int32 code = 1;
  string message = 2;
  repeated google.protobuf.Any details = 3;
}
message ErrorInfo {
  string reason = 1;
  string domain = 2;
  map<string, string> metadata = 3;
}
"""


def check(holds, what):
    if not holds:
        sys.exit(f"error: {what}")


def generate(folder):
    """Makes Python of the whole contract and lets it be imported."""
    (folder / "errors.proto").write_text(ERRORS)
    files = sorted(path.relative_to(PROTO).as_posix() for path in (PROTO / "signpost").rglob("*.proto"))
    includes = [PROTO, folder, pathlib.Path(grpc_tools.__file__).parent / "_proto"]
    arguments = ["protoc", *(f"-I{include}" for include in includes)]
    arguments += [f"--python_out={folder}", f"--grpc_python_out={folder}", "errors.proto", *files]
    check(protoc.main(arguments) == 0, "protoc refuses the contract")
    sys.path.insert(0, str(folder))


def base64url(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


class Member:
    """A member: its certificate on the connection, a token of its own on every call."""

    def __init__(self, pki, member_id):
        self.id = member_id
        self.ca = (pki / "ca.pem").read_bytes()
        self.cert = (pki / member_id / "cert.pem").read_bytes()
        self.key = (pki / member_id / "key.pem").read_bytes()
        self.token_key = pki / member_id / "token.pem"

    def connect(self, address):
        credentials = grpc.ssl_channel_credentials(self.ca, self.key, self.cert)
        options = [("grpc.ssl_target_name_override", "exchange"), ("grpc.enable_http_proxy", 0)]
        return grpc.secure_channel(address, credentials, options)

    def token(self):
        """Makes a JWT (RFC 7519) that is signed with Ed25519 (RFC 8037) and bound to the certificate (RFC 8705)."""
        now = int(time.time())
        fingerprint = hashlib.sha256(ssl.PEM_cert_to_DER_cert(self.cert.decode())).digest()
        header = {"alg": "EdDSA", "typ": "JWT", "kid": "dev-1"}
        claims = {
            "iss": self.id,
            "sub": "dr.lee",
            "aud": "signpost",
            "exp": now + 60,
            "nbf": now,
            "iat": now,
            "jti": str(uuid.uuid4()),
            "role": "physician",
            "purpose": "TREAT",
            "encounter": "",
            "cnf": {"x5t#S256": base64url(fingerprint)},
        }
        signed = ".".join(base64url(json.dumps(part).encode()) for part in (header, claims))
        key = load_pem_private_key(self.token_key.read_bytes(), None)
        return signed + "." + base64url(key.sign(signed.encode()))

    def authorization(self):
        return [("authorization", "Bearer " + self.token())]


def jane():
    from signpost.common.v1 import common_pb2
    from signpost.locator.v1 import locator_pb2

    demographics = common_pb2.Demographics(
        names=[common_pb2.HumanName(given=["Jayne"], family="Doe")],
        birth_date="1984-07-19",
        addresses=[common_pb2.Address(line="12 Chestnut St", postcode="78701")],
    )
    return locator_pb2.LocateRequest(demographics=demographics, request_id=str(uuid.uuid4()))


def locate(stub, member):
    """Locates, and reads messages in the order that the contract promises."""
    from signpost.locator.v1 import locator_pb2

    kinds, person, pointers, sources, completion = [], None, [], [], None
    for message in stub.Locate(jane(), timeout=TIMEOUT_S, metadata=member.authorization()):
        kind = message.WhichOneof("message")
        kinds.append(kind)
        if kind == "person":
            person = message.person
        elif kind == "pointer":
            pointers.append(message.pointer)
        elif kind == "source":
            sources.append(message.source)
        elif kind == "completion":
            completion = message.completion
    check(kinds.count("person") == 1 and kinds[0] == "person", f"the person does not come first: {kinds}")
    check(kinds.count("completion") == 1 and kinds[-1] == "completion", f"the end is no completion: {kinds}")
    check(completion.pointers == len(pointers), "the completion counts other pointers")
    check([pointer.rank for pointer in pointers] == list(range(1, len(pointers) + 1)), "the ranks are not 1, 2, ...")
    shown = {
        "match": locator_pb2.PersonMatch.Name(person.match),
        "person_id": person.person_id,
        "probability": person.probability,
        "pointers": [
            {
                "document_id": pointer.document_id,
                "custodian": pointer.custodian,
                "type": pointer.type_code.code,
                "mime_type": pointer.mime_type,
                "size_bytes": pointer.size_bytes,
                "sha256": pointer.sha256.hex(),
            }
            for pointer in pointers
        ],
        "sources": {source.member_id: locator_pb2.SourceState.Name(source.state) for source in sources},
        "asked": completion.asked,
        "answered": completion.answered,
        "truncated": completion.truncated,
    }
    return pointers, shown


def fetch(stub, member, pointer, out):
    """Fetches a document, and believes nothing of it that it has not computed itself."""
    from signpost.locator.v1 import locator_pb2

    request = locator_pb2.FetchDocumentRequest(document_id=pointer.document_id, request_id=str(uuid.uuid4()))
    messages = list(stub.FetchDocument(request, timeout=TIMEOUT_S, metadata=member.authorization()))
    kinds = [message.WhichOneof("message") for message in messages]
    check(kinds == ["header", *["chunk"] * (len(kinds) - 2), "trailer"], f"not header, chunks, trailer: {kinds}")
    header, trailer = messages[0].header, messages[-1].trailer
    chunks = [message.chunk for message in messages[1:-1]]
    data = b"".join(chunks)
    hashed = hashlib.sha256(data).digest()
    check(all(0 < len(chunk) <= CHUNK_BYTES_MAX for chunk in chunks), "a chunk is empty or larger than 64 KiB")
    check(header.document_id == pointer.document_id, "the header names another document")
    check(header.custodian == pointer.custodian, "the header names another custodian")
    check(hashed == trailer.sha256 == pointer.sha256, "the hash is not that of the trailer and of the pointer")
    sizes = {len(data), header.size_bytes, trailer.size_bytes, pointer.size_bytes}
    check(len(sizes) == 1, f"the sizes differ: {sizes}")
    out.write_bytes(data)
    return {"chunks": len(chunks), "fetched_sha256": hashed.hex(), "fetched_mime_type": header.mime_type}


def refuse(stub):
    """Calls without a token and reads the reason as any client of gRPC can."""
    import errors_pb2

    try:
        list(stub.Locate(jane(), timeout=TIMEOUT_S))
    except grpc.RpcError as error:
        trailers = {key: value for key, value in error.trailing_metadata()}
        status = errors_pb2.Status.FromString(trailers["grpc-status-details-bin"])
        info = errors_pb2.ErrorInfo()
        check(any(detail.Unpack(info) for detail in status.details), "the details hold no ErrorInfo")
        check(status.code == error.code().value[0], "the details tell another code")
        check(status.message == error.details(), "the details tell another message")
        return {"code": error.code().name, "reason": info.reason, "domain": info.domain, "message": error.details()}
    return sys.exit("error: a call without a token was answered")


def main(what, pki, member_id, address, *out):
    from signpost.locator.v1 import locator_pb2_grpc

    member = Member(pathlib.Path(pki), member_id)
    with member.connect(address) as channel:
        stub = locator_pb2_grpc.RecordLocatorServiceStub(channel)
        if what == "refuse":
            seen = refuse(stub)
        else:
            pointers, seen = locate(stub, member)
            check(len(pointers) == 1, f"there are {len(pointers)} pointers")
            seen |= fetch(stub, member, pointers[0], pathlib.Path(*out))
    print(json.dumps(seen))


with tempfile.TemporaryDirectory() as stubs:
    generate(pathlib.Path(stubs))
    main(*sys.argv[1:])
