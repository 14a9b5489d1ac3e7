import base64
import unittest

from testing import ApiTest, load

server = load("github")
REPOSITORY = "acme/site"


class GitHub(ApiTest):
    def setUp(self):
        super().setUp()
        self.mcp = server.build(server.Api(self.double.base, "proxy-token-github"))

    def test_issues_are_listed_in_brief(self):
        issue = {"number": 7, "title": "t", "state": "open", "updated_at": "x", "comments": 0, "user": {"login": "a"}}
        self.double.answers["GET", "/repos/acme/site/issues"] = (200, [issue])
        found = self.use("list_issues", repository=REPOSITORY, page=2)
        self.assertEqual(found[0]["number"], 7)
        self.assertNotIn("user", found[0])
        self.assertEqual(self.double.lines, ["GET /repos/acme/site/issues?state=open&page=2&per_page=50"])
        self.assertEqual(self.double.asked[0][2]["authorization"], "Bearer proxy-token-github")

    def test_comments_and_pull_requests_are_written_where_they_belong(self):
        self.double.default = (201, {"id": 1, "number": 2, "html_url": "u"})
        self.use("comment", repository=REPOSITORY, number=7, body="hello")
        self.use("create_pull_request", repository=REPOSITORY, title="t", head="fix/a", base="main")
        self.use("create_issue", repository=REPOSITORY, title="t")
        posted = ["POST /repos/acme/site/issues/7/comments", "POST /repos/acme/site/pulls", "POST /repos/acme/site/issues"]
        self.assertEqual(self.double.lines, posted)
        self.assertEqual(self.double.asked[0][3], {"body": "hello"})

    def test_a_file_is_read(self):
        content = base64.b64encode(b"hello\n").decode()
        self.double.answers["GET", "/repos/acme/site/contents/docs/a%20b.md"] = (200, {"encoding": "base64", "content": content})
        self.assertEqual(self.use("read_file", repository=REPOSITORY, path="docs/a b.md", ref="main"), "hello\n")
        self.double.default = (200, [])
        self.refuses("read_file", "not a file", repository=REPOSITORY, path="docs")

    def test_no_argument_leaves_its_path(self):
        for repository in ["acme", "acme/..", "../acme", "acme/site/actions", "acme/site?x=1", "acme/a%2fb", "acme/site\n", "a b/c"]:
            self.refuses("list_issues", repository=repository)
        for path in ["", "../../acme/other/contents/x", "a//b", "/etc/passwd", "a/..", "a?ref=x", "a%2f..", "a;b"]:
            self.refuses("read_file", repository=REPOSITORY, path=path)
        for ref in ["", "-x", "a b", "a?b", "a\n"]:
            self.refuses("read_file", repository=REPOSITORY, path="a", ref=ref)
        self.refuses("get_issue", repository=REPOSITORY, number=0)
        self.refuses("list_issues", repository=REPOSITORY, state="all,x")
        self.assertEqual(self.double.lines, [])


if __name__ == "__main__":
    unittest.main()
