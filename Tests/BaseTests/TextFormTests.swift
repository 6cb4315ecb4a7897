import Base
import TestSupport
import Testing

struct TextFormTests {
    @Test(
        arguments: [
            ("0", 0), ("512", 512), ("512b", 512), ("64k", 65536), ("64KB", 65536), ("1.5g", 1_610_612_736),
            ("2GiB", 2 << 30),
            ("1 t", 1 << 40), ("1P", 1 << 50), ("0.5k", 512),
        ] as [(String, Int64)])
    func sizesAreRead(text: String, bytes: Int64) throws { #expect(try ByteSize.parse(text) == bytes) }

    @Test(arguments: ["", "k", "-1", "1x", "1kk", "1.2.3m", "٣", "1e3", "9999999999999p", "nan", "inf", "1 k b"])
    func sizesThatAreNoneAreRefused(text: String) {
        #expect(throws: SkalaError.self) { try ByteSize.parse(text) }
    }

    /// Each is what `units.BytesSize` and `units.HumanSize` of the docker CLI print.
    @Test(
        arguments: [
            (0, "0B", "0B"), (1, "1B", "1B"), (1023, "1023B", "1.023kB"), (1024, "1KiB", "1.024kB"),
            (1_572_864, "1.5MiB", "1.573MB"), (123_456_789, "117.7MiB", "123.5MB"), (1 << 40, "1TiB", "1.1TB"),
        ] as [(Int64, String, String)])
    func sizesAreWritten(bytes: Int64, binary: String, decimal: String) {
        #expect(ByteSize.binary(bytes) == binary)
        #expect(ByteSize.decimal(bytes) == decimal)
    }

    @Test(
        arguments: [
            ("0", 0), ("1ns", 1), ("1us", 1000), ("1\u{B5}s", 1000), ("1\u{3BC}s", 1000), ("1.5ms", 1_500_000),
            ("1m30s", 90_000_000_000),
            ("-2h", -7_200_000_000_000), ("+1s", 1_000_000_000), ("1h0.5s", 3_600_500_000_000),
        ] as [(String, Int64)])
    func durationsAreRead(text: String, nanoseconds: Int64) throws {
        #expect(try DurationText.parse(text) == nanoseconds)
    }

    @Test(arguments: ["", "-", "1", "s", "1x", "1s2", "1h-5m", "1 s", "1e3s", "99999999h", ".", "1..5s", "٣s"])
    func durationsThatAreNoneAreRefused(text: String) {
        #expect(throws: SkalaError.self) { try DurationText.parse(text) }
    }

    @Test(
        arguments: [
            (0, "Less than a second"), (1, "1 second"), (59, "59 seconds"), (60, "About a minute"), (120, "2 minutes"),
            (3600, "About an hour"), (7200, "2 hours"), (172_800, "2 days"), (1_209_600, "2 weeks"),
            (5_184_000, "2 months"), (63_072_000, "2 years"),
        ] as [(Int64, String)])
    func agesAreWords(seconds: Int64, text: String) { #expect(HumanDuration.text(seconds) == text) }

    @Test(
        arguments: [("", ""), ("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v"), ("foobar", "Zm9vYmFy")])
    func base64OfRFC4648(text: String, encoded: String) {
        #expect(Base64.encode(Array(text.utf8)) == encoded)
        #expect(Base64.decode(encoded) == Array(text.utf8))
        #expect(Base64.decode(encoded.filter { $0 != "=" }) == Array(text.utf8))
    }

    @Test(arguments: ["A", "AAAAA", "Zm9v!", "Zm9v ", "Zm\n9v", "é"])
    func base64ThatIsNoneIsRefused(text: String) { #expect(Base64.decode(text) == nil) }

    @Test(arguments: 0..<8 as Range<UInt64>) func bytesSurviveTheirTexts(seed: UInt64) {
        var random = SeededRandom(seed: seed)
        for count in 0..<70 {
            let bytes = random.bytes(count)
            #expect(Base64.decode(Base64.encode(bytes)) == bytes)
            let url = Base64.encode(bytes).map { $0 == "+" ? "-" : $0 == "/" ? "_" : $0 }
            #expect(Base64.decode(String(url)) == bytes)
            let digits = Array(Hexadecimal.encode(bytes).utf8)
            #expect(digits.count == 2 * count)
            let values = digits.compactMap(Hexadecimal.value(of:))
            #expect(stride(from: 0, to: values.count, by: 2).map { values[$0] << 4 | values[$0 + 1] } == bytes)
        }
    }

    @Test func hexadecimalDigitsHaveBothCases() {
        for byte in UInt8.min...UInt8.max {
            let digit = Hexadecimal.value(of: byte)
            #expect(digit == Character(Unicode.Scalar(byte)).hexDigitValue.flatMap { byte < 128 ? UInt8($0) : nil })
        }
    }

    @Test func identifiersAreDocker() {
        var random = SeededRandom(seed: 1)
        var seen: Set<String> = []
        for _ in 0..<1000 {
            let id = Identifier.make(using: &random)
            #expect(id.utf8.count == 64 && id.utf8.allSatisfy { Hexadecimal.value(of: $0) != nil })
            #expect(id == id.lowercased())
            #expect(Int64(Identifier.short(id)) == nil, "a short id must not read as a number: \(id)")
            seen.insert(id)
        }
        #expect(seen.count == 1000)
        var again = SeededRandom(seed: 1)
        #expect(seen.contains(Identifier.make(using: &again)))
    }

    @Test func linesAreEdited() {
        let text = "127.0.0.1\tlocalhost\n10.1.0.2\tx\n10.1.0.22\ty\n# mine"
        let edit = LineEdit(removed: ["10.1.0.2\t"], added: "10.2.0.2\tx\n")
        #expect(edit.applied(to: text) == "127.0.0.1\tlocalhost\n10.1.0.22\ty\n# mine\n10.2.0.2\tx\n")
        #expect(LineEdit(removed: ["a"], added: "").applied(to: "a\nb\n") == "b\n")
        #expect(LineEdit(removed: [], added: "b\n").applied(to: "") == "b\n")
    }
}
