"""What a bucket's refusals mean, in a sentence with the way out; no message shows a key."""

import socket
from urllib.parse import urlsplit

from trainables.store import StoreFailed

PRECONDITION_FAILED = ("PreconditionFailed", "412")
CONFLICTS = ("ConditionalRequestConflict", "OperationAborted", "409")
MISSING_BUCKET = ("NoSuchBucket",)
NO_CREDENTIALS = (
    "there are no credentials; set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or write them into ~/.aws/credentials"
)
WRONG_CREDENTIALS = "correct AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or ~/.aws/credentials"
EXPIRED = "the credentials have expired; get new ones, then launch again: every trial goes on from its last checkpoint"
FULL = "it is full; free some space, then launch again: every trial goes on from its last checkpoint"
MEANINGS = {
    "InvalidAccessKeyId": f"the access key is not known there; {WRONG_CREDENTIALS}",
    "SignatureDoesNotMatch": f"the secret key is not that of the access key; {WRONG_CREDENTIALS}",
    "AccessDenied": "these credentials may not list, read, write and delete there; ask for these four permissions",
    "403": f"these credentials are refused; {WRONG_CREDENTIALS}",
    "ExpiredToken": EXPIRED,
    "TokenRefreshRequired": EXPIRED,
    "RequestTimeTooSkewed": "this machine's clock is wrong by more than 15 minutes; set it",
    "NotImplemented": "it does not know what a ledger needs, conditional PUTs (If-None-Match) above all",
    "QuotaExceeded": FULL,
    "XMinioStorageFull": FULL,
    "InsufficientStorage": FULL,
    "507": FULL,
}
OF_THE_BUCKET = {
    "NoSuchBucket": "there is no bucket {bucket}; create it, or correct --store, AWS_ENDPOINT_URL or AWS_REGION",
    "PermanentRedirect": "the bucket {bucket} is in another region; set AWS_REGION to it",
    "301": "the bucket {bucket} is in another region; set AWS_REGION to it",
    "AuthorizationHeaderMalformed": "the bucket {bucket} is in another region; set AWS_REGION to it",
}


def code_of(error: BaseException) -> str:
    """Return S3's code of an error, as in "NoSuchKey", or its HTTP status; "" if the server said nothing."""
    response = getattr(error.__cause__, "response", None)
    return str(response.get("Error", {}).get("Code", "")) if isinstance(response, dict) else ""


def failure(error: Exception, location: str, bucket: str) -> StoreFailed:
    """Return what a request's error means and, where that is known, the way out."""
    code = code_of(error)
    said = " ".join(str(getattr(error, "strerror", None) or error).split())
    if said.startswith("Unable to locate credentials"):
        said = NO_CREDENTIALS
    why = OF_THE_BUCKET.get(code, MEANINGS.get(code, f"{said} ({code})" if code and code not in said else said))
    return StoreFailed(location, why.replace("{bucket}", bucket), code)


def unreachable(location: str, endpoint: str, timeout_s: float) -> list[str]:
    """Return a problem if nothing accepts a connection at the endpoint's address."""
    parts = urlsplit(endpoint)
    port = parts.port or (443 if parts.scheme == "https" else 80)
    try:
        socket.create_connection((str(parts.hostname), port), timeout=timeout_s).close()
    except OSError as error:
        place = f"{parts.scheme}://{parts.hostname}:{port}"
        return [
            f"the store {location}: nothing answers at {place} ({error.strerror or error}); start it, or correct "
            "AWS_ENDPOINT_URL"
        ]
    return []
