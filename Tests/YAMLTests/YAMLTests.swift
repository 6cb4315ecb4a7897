import Base
import Testing
import YAML

struct YAMLTests {
    private func parse(_ text: String) throws -> YAMLValue {
        YAMLValue(try #require(try YAMLParser.parse(Array(text.utf8), name: "a.yaml")))
    }

    private func fails(_ text: String, _ message: String) {
        let error = #expect(throws: SkalaError.self) { try YAMLParser.parse(Array(text.utf8), name: "a.yaml") }
        #expect(error?.code == .invalid && error?.message == message, "\(error?.message ?? "")")
    }

    @Test func everythingKnowsItsPlace() throws {
        let value = try parse("web:\n  ports:\n    - \"80\"\n    - 81\n")
        let ports = try #require(value["web"]?["ports"])
        #expect(ports.path == "web.ports")
        #expect(ports.node.place == YAMLPlace(file: "a.yaml", line: 3, column: 5))
        #expect(try ports.elements().map { try $0.string() } == ["80", "81"])
        #expect(try ports.elements()[1].path == "web.ports[1]")
    }

    @Test func quotesMakeTexts() throws {
        let value = try parse("a: null\nb: 'null'\nc: ~\nd:\ne: !!str null\n")
        #expect(value["a"] == nil && value["c"] == nil && value["d"] == nil)
        #expect(try value["b"]?.string() == "null")
        #expect(try value["e"]?.string() == "null")
        #expect(try value.entries().map(\.key) == ["a", "b", "c", "d", "e"])
    }

    @Test func valuesAreRead() throws {
        let value = try parse(
            "n: 42\nx: 1.5\nt: yes\nf: 'false'\nm: 64m\nd: 1m30s\nl: [a, b]\np: {A: 1, B: }\nq: [A=1=2, B]\n")
        #expect(try value["n"]?.integer(1...50) == 42)
        #expect(try value["x"]?.number() == 1.5)
        #expect(try value["t"]?.flag() == true && value["f"]?.flag() == false)
        #expect(try value["m"]?.bytes() == 64 << 20)
        #expect(try value["d"]?.duration() == 90_000_000_000)
        #expect(try value["l"]?.strings() == ["a", "b"])
        #expect(try value["p"]?.pairs().map { "\($0.key)=\($0.value ?? "-")" } == ["A=1", "B=-"])
        #expect(try value["q"]?.pairs().map { "\($0.key)=\($0.value ?? "-")" } == ["A=1=2", "B=-"])
    }

    @Test func wrongValuesAreTold() throws {
        let value = try parse("a:\n  n: two\n  l: 1\n  r: 99\n  replcas: 3\n")
        let inner = try #require(value["a"])
        func message(_ body: () throws -> Void) -> String? {
            do { try body() } catch { return (error as? SkalaError)?.message }
            return nil
        }
        #expect(message { _ = try inner["n"]?.integer() } == "a.yaml:2:6: a.n: a whole number is expected, not 'two'")
        #expect(message { _ = try inner["l"]?.elements() } == "a.yaml:3:6: a.l: a list is expected, not '1'")
        #expect(message { _ = try inner["r"]?.integer(0...9) } == "a.yaml:4:6: a.r: 99 is not within 0 and 9")
        #expect(
            message { try inner.allowOnly(["n", "l", "r", "replicas"]) }
                == "a.yaml:5:3: a: unknown key 'replcas'; did you mean 'replicas'?")
    }

    @Test func anchorsAndMerges() throws {
        let value = try parse(
            "base: &b {x: 1, y: 2}\nother: &o {y: 3, z: 4}\na: {<<: *b, y: 9}\nc: {<<: [*b, *o]}\nd: *b\n")
        #expect(try value["a"]?.pairs().map { "\($0.key)\($0.value ?? "")" } == ["y9", "x1"])
        #expect(try value["c"]?.pairs().map { "\($0.key)\($0.value ?? "")" } == ["x1", "y2", "z4"])
        #expect(try value["d"]?["y"]?.integer() == 2)
    }

    @Test func brokenDocumentsAreRefused() {
        fails("a: 1\n b: 2\n", "a.yaml:2:3: mapping values are not allowed in this context")
        fails("a: [1\n", "a.yaml:2:1: while parsing a flow sequence: did not find expected ',' or ']'")
        fails("a: 1\nb: 2\na: 3\n", "a.yaml:3:1: the key 'a' stands in line 1 already")
        fails("a: *x\n", "a.yaml:1:4: no anchor 'x' stands before this")
        fails("{[1]: 2}\n", "a.yaml:1:2: a key is a single value")
        fails("<<: 1\n", "a.yaml:1:5: '<<' merges mappings, not a single value")
        fails("a: 1\n---\nb: 2\n", "a.yaml:2:1: only one document is expected")
        #expect(throws: SkalaError.self) { try YAMLParser.parse([0x61, 0x3A, 0x20, 0xFF, 0xFE], name: "a.yaml") }
    }

    @Test func nothingIsNoDocument() throws {
        #expect(try YAMLParser.parse([], name: "a.yaml") == nil)
        #expect(try YAMLParser.parse(Array("# nothing\n".utf8), name: "a.yaml") == nil)
    }

    /// What a few lines can stand for has an end, and so has how deep it may be.
    @Test func bombsAreRefused() {
        var text = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n"
        for level in 1...9 {
            text +=
                "a\(level): &a\(level) [" + Array(repeating: "*a\(level - 1)", count: 10).joined(separator: ", ")
                + "]\n"
        }
        let error = #expect(throws: SkalaError.self) { try YAMLParser.parse(Array(text.utf8), name: "a.yaml") }
        #expect(error?.message.contains("with all aliases written out") == true)
        let deep = String(repeating: "[", count: 1000) + String(repeating: "]", count: 1000)
        let second = #expect(throws: SkalaError.self) { try YAMLParser.parse(Array(deep.utf8), name: "a.yaml") }
        #expect(second?.message == "a.yaml:1:65: nested more than 64 deep")
    }
}
