import Base
import Testing

@testable import SkalaCLI

struct OutputTests {
    @Test func tablesAreAligned() {
        var table = Table(["A", "LONG TITLE", "C"])
        table.add(["aaaa", "b", "c"])
        #expect(table.text == "A      LONG TITLE   C\naaaa   b            c\n")
    }

    @Test func templatesAreFilled() throws {
        let document: JSON = ["A": ["B": 1, "C": "x"], "L": ["a", "b"], "N": .null, "T": true]
        func fill(_ text: String) throws -> String { try Template(text).fill(document) }
        #expect(try fill("{{.A.B}}\\t{{ .A.C }}!\\n") == "1\tx!\n")
        #expect(try fill("{{json .A.C}} {{json .L}} {{.L}}") == "\"x\" [\"a\",\"b\"] [\"a\",\"b\"]")
        #expect(try fill("{{.T}} {{.N}} {") == "true <nil> {")
        #expect(try fill("{{json .}}") == document.text)
        for text in ["{{.A", "{{A}}", "{{range .L}}", "{{}}"] {
            #expect(throws: SkalaError.self) { try Template(text) }
        }
        #expect(throws: SkalaError.self) { try fill("{{.A.X}}") }
        #expect(throws: SkalaError.self) { try fill("{{.T.X}}") }
    }

    @Test func portsOfAContainer() {
        func port(_ inside: Int, _ outside: Int?, _ ip: String = "0.0.0.0", _ type: String = "tcp") -> JSON {
            var json: JSON = ["PrivatePort": JSON(inside), "Type": JSON(type)]
            if let outside {
                json["PublicPort"] = JSON(outside)
                json["IP"] = JSON(ip)
            }
            return json
        }
        #expect(
            PortList.text([port(81, 8081), port(443, nil), port(80, 8080), port(53, 53, "::", "udp")])
                == "443/tcp, 0.0.0.0:8080-8081->80-81/tcp, [::]:53->53/udp")
    }

    @Test func decimals() {
        #expect(Decimal.text(0, 2) == "0.00" && Decimal.text(12.345, 1) == "12.3" && Decimal.text(-0.001, 2) == "0.00")
        #expect(Decimal.text(0.996, 2) == "1.00" && Decimal.text(-1.5, 0) == "-2")
        #expect(Quantile.of([], 0.5) == 0 && Quantile.of([1, 2, 3, 10], 0.5) == 2.5 && Quantile.of([4], 0.95) == 4)
    }

    @Test func shareOfTheCPU() {
        func counters(_ used: Int, _ whole: Int) -> JSON {
            ["cpu_usage": ["total_usage": JSON(used)], "system_cpu_usage": JSON(whole), "online_cpus": 2]
        }
        let document: JSON = [
            "name": "/web", "cpu_stats": counters(300, 2000), "precpu_stats": counters(100, 1000),
            "memory_stats": ["usage": 100, "limit": 200, "stats": ["total_inactive_file": 40]],
            "pressure": ["cpu": ["some": ["average10": 1.5]]],
        ]
        let sample = StatsSample(document, before: nil)
        #expect(sample.cpu == 40 && sample.memory == 60 && sample.memoryShare == 30 && sample.name == "web")
        #expect(sample.pressure == [1.5, nil, nil])
        #expect(StatsSample(document, before: ["cpu_stats": counters(300, 1000)]).cpu == 0)
    }

    @Test func linesAreCutToTheScreen() {
        #expect(LiveScreen.cut("abcdef", 3) == "abc")
        #expect(LiveScreen.cut("\u{1B}[31mabcdef\u{1B}[0m", 3) == "\u{1B}[31mabc\u{1B}[0m")
    }
}
