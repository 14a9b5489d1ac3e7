"""Runs one script of tlsfuzzer as a client that names a host and takes ECDSA.

stubgate refuses a ClientHello without a server name, and its leaves have ECDSA keys; most scripts send no name and offer
RSA alone. So every ClientHello gets `server_name` in front of its extensions, ECDSA among its signature algorithms, and
ECDHE-ECDSA suites with AEAD for its other ones of TLS 1.2, unless the script sets these itself; and the
answer to `server_name` is no surprise. Nothing else is changed.

    tlsfuzzer_shim.py CHECKOUT NAME SCRIPT [ARGUMENT...]
"""

import importlib
import random
import sys
from collections import OrderedDict
from pathlib import Path

CHECKOUT, NAME, SCRIPT = sys.argv[1:4]
sys.path.insert(0, CHECKOUT)

from tlslite.constants import CipherSuite, ExtensionType, GroupName, SignatureScheme  # noqa: E402
from tlslite.extensions import SignatureAlgorithmsExtension, SNIExtension, SupportedGroupsExtension  # noqa: E402
from tlsfuzzer.expect import _ExpectExtensionsMessage  # noqa: E402
from tlsfuzzer.messages import ClientHelloGenerator  # noqa: E402

SUITES = {
    getattr(CipherSuite, name): getattr(CipherSuite, name.replace("ECDHE_RSA", "ECDHE_ECDSA"))
    for name in dir(CipherSuite)
    if name.startswith("TLS_ECDHE_RSA") and hasattr(CipherSuite, name.replace("ECDHE_RSA", "ECDHE_ECDSA"))
}
MODERN = CipherSuite.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256
TLS13 = set(CipherSuite.tls13Suites)
SIGNALS = {CipherSuite.TLS_EMPTY_RENEGOTIATION_INFO_SCSV, CipherSuite.TLS_FALLBACK_SCSV}
GOOD = {MODERN, CipherSuite.TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384,
        CipherSuite.TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256}
generate = ClientHelloGenerator.generate


def generate_with_name(self, status):
    self.ciphers = [SUITES.get(suite, suite) for suite in self.ciphers]
    if not TLS13 & set(self.ciphers) and not GOOD & set(self.ciphers):
        # Only CBC and RSA key exchange, which stubgate has not: the first of them becomes one that it has.
        for at, suite in enumerate(self.ciphers):
            if suite not in SIGNALS and suite in CipherSuite.ietfNames and "EXPORT" not in CipherSuite.ietfNames[suite]:
                self.ciphers[at] = MODERN
                break
    extensions = OrderedDict() if self.extensions is None else self.extensions
    if ExtensionType.server_name not in extensions:
        items = list(extensions.items())
        extensions = OrderedDict([(ExtensionType.server_name, SNIExtension().create(bytearray(NAME, "ascii")))] + items)
    algorithms = extensions.get(ExtensionType.signature_algorithms)
    if algorithms is not None and getattr(algorithms, "sigalgs", None):
        if SignatureScheme.ecdsa_secp256r1_sha256 not in algorithms.sigalgs:
            # In place of the first: some scripts change bytes at offsets.
            algorithms.sigalgs = [SignatureScheme.ecdsa_secp256r1_sha256] + list(algorithms.sigalgs)[1:]
    for kind, extension in ((ExtensionType.signature_algorithms, SignatureAlgorithmsExtension),
                            (ExtensionType.supported_groups, SupportedGroupsExtension)):
        if kind not in extensions and MODERN in self.ciphers:
            value = SignatureScheme.ecdsa_secp256r1_sha256 if extension is SignatureAlgorithmsExtension else GroupName.secp256r1
            extensions[kind] = extension().create([value])
    self.extensions = extensions
    return generate(self, status)


# The scripts choose some of their cases by chance; here the same ones each time.
random.seed(4)
def compare_without_name(self, message):
    if message.extensions and ExtensionType.server_name not in (self.extensions or {}):
        message.extensions = [e for e in message.extensions if e.extType != ExtensionType.server_name]
    return compare(self, message)


compare = _ExpectExtensionsMessage._compare_extensions
_ExpectExtensionsMessage._compare_extensions = compare_without_name
ClientHelloGenerator.generate = generate_with_name
sys.argv = [SCRIPT, *sys.argv[4:]]
name = Path(SCRIPT).stem
try:
    module = importlib.import_module("tlsfuzzer._apps." + name.replace("-", "_"))
except ModuleNotFoundError:
    import runpy
    runpy.run_path(str(Path(CHECKOUT) / "scripts" / f"{name}.py"), run_name="__main__")
else:
    module.main()
