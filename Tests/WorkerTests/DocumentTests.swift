import Protocol
import Testing

@testable import Worker

@Suite struct ChunkerTests {
    static func chunks(
        _ text: String, format: TextFormat = .markdown, maximumBytes: Int = 200, overlap: Int = 0
    ) -> [(text: String, section: [String])] {
        var document = SourceDocument(
            id: "d", source: "d", title: nil, format: format, text: Array(text.utf8))
        if format == .markdown {
            document = MarkdownDocument.document(source: "d.md", bytes: document.text)
        }
        return Chunker.chunks(
            of: document, options: Chunker.Options(maximumBytes: maximumBytes, overlap: overlap)
        ).map { (String(decoding: document.text[$0.range], as: UTF8.self), $0.section) }
    }

    @Test func beginsAChunkAtEveryHeadingAndKnowsItsSection() {
        let chunks = Self.chunks(
            "# Title\n\nIntro.\n\n## One\n\nFirst.\n\n### Deep\n\nSecond.\n\n## Two\n\nThird.")
        #expect(
            chunks.map(\.text) == [
                "# Title\n\nIntro.", "## One\n\nFirst.", "### Deep\n\nSecond.", "## Two\n\nThird.",
            ])
        #expect(chunks.map(\.section) == [[], ["One"], ["One", "Deep"], ["Two"]])
    }

    @Test func isBoundedAndEndsWithASentence() {
        let sentences = (0..<40).map { "This is sentence number \($0) of the text." }
        let chunks = Self.chunks(sentences.joined(separator: " "), format: .plain)
        #expect(chunks.allSatisfy { $0.text.utf8.count <= 200 && $0.text.hasSuffix(".") })
        #expect(chunks.map(\.text).joined(separator: " ") == sentences.joined(separator: " "))
    }

    @Test func repeatsSentencesWhereAnOverlapIsWanted() {
        let text = (0..<10).map { "Sentence number \($0) has some words in it." }.joined(separator: " ")
        let chunks = Self.chunks(text, format: .plain, overlap: 1)
        for (chunk, next) in zip(chunks, chunks.dropFirst()) {
            let last = chunk.text.split(separator: ".").last.map(String.init) ?? ""
            #expect(next.text.hasPrefix(last.trimmingPrefix(" ") + "."))
        }
    }

    @Test func keepsACodeBlockWhole() {
        let code = "```sh\n" + String(repeating: "# not a heading\n\n", count: 20) + "```"
        let chunks = Self.chunks("# T\n\nRun this. Then wait.\n\n\(code)\n\nDone.")
        #expect(chunks.contains { $0.text.contains(code) })
        #expect(chunks.allSatisfy { $0.section.isEmpty })
    }

    @Test func cutsASentenceWithoutEndAtWhiteSpaceOrScalars() {
        let words = Self.chunks(String(repeating: "word ", count: 200), format: .plain)
        #expect(words.allSatisfy { $0.text.utf8.count <= 200 && $0.text.hasPrefix("word") })
        let scalars = Self.chunks(String(repeating: "é", count: 500), format: .plain)
        #expect(scalars.allSatisfy { $0.text.allSatisfy { $0 == "é" } })
        #expect(scalars.map(\.text).joined().count == 500)
    }

    @Test(arguments: ["", "\n\n", "# Only a heading", "```", "|", "---", "\u{FEFF}"])
    func survivesTextsWithoutSentences(text: String) {
        #expect(Self.chunks(text).count <= 1)
    }

    @Test func splitsTablesByRow() {
        let bytes = Array("Intro.\n| a | b |\n|---|---|\n| 1. x | 2 |\nEnd.".utf8)
        let units = TextUnits.split(bytes, format: .markdown)
        #expect(units.map(\.kind) == [.sentence, .tableRow, .tableRow, .tableRow, .sentence])
    }
}

@Suite struct DocumentReaderTests {
    static func read(_ source: String, _ text: String) throws -> [SourceDocument] {
        try DocumentReader.documents(source: source, bytes: Array(text.utf8))
    }

    @Test func readsFrontMatterOfMarkdown() throws {
        let text = "---\ntitle: 'The title'\nyear: 1962\ntags: [\"a\", \"b\"]\n---\n# Heading\n\nText."
        let document = try #require(try Self.read("docs/a.md", text).first)
        #expect(document.title == "The title")
        #expect(document.id == "docs/a.md")
        #expect(document.metadata.map(\.name) == ["title", "year", "tags"])
        #expect(document.metadata[1].value == 1962)
        #expect(document.text == Array(text.utf8))
        #expect(document.text[document.contentStart...].starts(with: "\n# Heading".utf8))
    }

    @Test func takesTheFirstHeadingAsTitle() throws {
        #expect(try Self.read("a.md", "Intro\n=====\n\nText.").first?.title == "Intro")
        #expect(try Self.read("a.md", "## Sub\n\n# `Main` page #\n").first?.title == "Main page")
        #expect(try Self.read("a.md", "---\nno end").first?.contentStart == 0)
    }

    @Test func readsTextOutOfHTML() throws {
        let html = """
            <!doctype html><html><head><title>A &amp; B</title><style>p { color: red }</style>
            <script>if (a < b) { x("</p>") }</script></head>
            <body><!-- no --><h1 class="a>b">Caf&eacute;</h1><p>One&nbsp;<b>two</b> &#x2014; 3 &lt; 4.<br>Next &bogus; line</p>
            <ul><li>a<li>b</ul></body></html>
            """
        let document = try #require(try Self.read("a.html", html).first)
        #expect(document.title == "A & B")
        let text = String(decoding: document.text, as: UTF8.self)
        #expect(text == "Café\n\nOne two — 3 < 4.\n\nNext &bogus; line\n\na\n\nb")
    }

    @Test(arguments: ["<", "<p", "<!--", "<script>", "&", "&#xD800;", "a<b", "<title>", "</", "<p a='"])
    func survivesBrokenHTML(html: String) throws {
        #expect(try Self.read("a.htm", html).count == 1)
    }

    @Test func readsTheCorpusOfBEIR() throws {
        let lines = """
            {"_id": "184", "title": "Scale models", "text": "For wind tunnels.", "metadata": {"year": 1962}}

            {"_id": 7, "title": "", "text": "Second.", "kind": "report", "nested": {"a": 1}}
            {"title": "Only a title", "text": ""}
            """
        let documents = try Self.read("c/corpus.jsonl", lines)
        #expect(documents.map(\.id) == ["184", "7", "c/corpus.jsonl:4"])
        #expect(documents.map(\.title) == ["Scale models", nil, "Only a title"])
        #expect(
            documents.map { String(decoding: $0.text, as: UTF8.self) } == [
                "For wind tunnels.", "Second.", "Only a title",
            ])
        #expect(documents[0].metadata == [.init("year", 1962)])
        #expect(documents[1].metadata == [.init("kind", "report")])
    }

    @Test func readsAnyJSON() throws {
        let array = try Self.read(
            "a.json", #"[{"id": "x", "content": "One."}, {"name": "N", "deep": {"a": ["Two.", 3]}}, 5]"#)
        #expect(array.map(\.id) == ["x", "a.json:2"])
        #expect(String(decoding: array[1].text, as: UTF8.self) == "Two.")
    }

    @Test(arguments: [
        ("a.json", "{\"a\": }", "a.json: expected JSON: expected a value at byte 6"),
        ("a.jsonl", "{}\n{]\n", "a.jsonl, line 2: expected a JSON document: expected a string at byte 1"),
        ("a.pdf", "", "a.pdf: expected a .md, .txt, .html, .json or .jsonl file"),
    ])
    func saysWhereAFileIsWrong(source: String, text: String, message: String) {
        #expect(throws: DocumentError(message)) { try Self.read(source, text) }
    }

    @Test func refusesOtherEncodings() {
        let error = DocumentError("a.txt: expected UTF-8, found another encoding at byte 1")
        #expect(throws: error) { try DocumentReader.documents(source: "a.txt", bytes: [0x61, 0xE9, 0x62]) }
    }
}
