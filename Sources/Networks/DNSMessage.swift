/// A DNS query and answers to it (RFC 1035): just what a name server for containers needs. Pure; every read is bounded.
struct DNSQuery {
    static let typeA: UInt16 = 1
    static let typePTR: UInt16 = 12
    static let typeAAAA: UInt16 = 28

    let bytes: [UInt8]
    /// Lower case, without the final dot.
    let name: String
    let type: UInt16
    private let questionEnd: Int

    /// nil for what is no query with one question.
    init?(_ bytes: [UInt8]) {
        guard bytes.count >= 12, bytes.count <= 4096, bytes[2] & 0x80 == 0, bytes[4] == 0, bytes[5] == 1 else {
            return nil
        }
        var labels: [String] = []
        var at = 12
        while true {
            guard at < bytes.count else { return nil }
            let length = Int(bytes[at])
            if length == 0 { break }
            // A compressed name has no place in a question.
            guard length < 64, at + 1 + length < bytes.count, labels.count < 128 else { return nil }
            labels.append(String(decoding: bytes[(at + 1)..<(at + 1 + length)], as: UTF8.self).lowercased())
            at += 1 + length
        }
        guard at + 5 <= bytes.count else { return nil }
        self.bytes = bytes
        name = labels.joined(separator: ".")
        type = UInt16(bytes[at + 1]) << 8 | UInt16(bytes[at + 2])
        questionEnd = at + 5
    }

    /// The name without the domain that guests put behind names without a dot.
    var localName: String {
        let suffix = "." + GuestSettings.localDomain
        return name.hasSuffix(suffix) ? String(name.dropLast(suffix.count)) : name
    }

    /// An answer that repeats the question and gives records of the queried type; none means "it has no such record".
    func answer(_ records: [[UInt8]], secondsToLive: UInt32 = 5) -> [UInt8] {
        var answer = Array(bytes[0..<questionEnd])
        // Response, authoritative, recursion as desired and available, no error.
        answer[2] = 0x84 | bytes[2] & 0x01
        answer[3] = 0x80
        answer[6] = UInt8(records.count >> 8 & 255)
        answer[7] = UInt8(records.count & 255)
        for index in 8..<12 { answer[index] = 0 }
        for record in records {
            answer += [0xC0, 12, UInt8(type >> 8), UInt8(type & 255), 0, 1]
            withUnsafeBytes(of: secondsToLive.bigEndian) { answer += $0 }
            answer += [UInt8(record.count >> 8), UInt8(record.count & 255)] + record
        }
        return answer
    }

    /// An answer with an error: 2 the server failed, 3 there is no such name.
    func failure(_ code: UInt8) -> [UInt8] {
        var failure = answer([])
        failure[3] |= code
        return failure
    }

    /// The address asked for in the reverse of `2.0.18.172.in-addr.arpa` or of 32 digits before `ip6.arpa`.
    var reversedAddress: IPAddress? {
        guard type == DNSQuery.typePTR else { return nil }
        let parts = name.split(separator: ".")
        if name.hasSuffix(".in-addr.arpa"), parts.count == 6 {
            return try? IPAddress(parsing: parts.prefix(4).reversed().joined(separator: "."))
        }
        guard name.hasSuffix(".ip6.arpa"), parts.count == 34 else { return nil }
        let digits = parts.prefix(32).reversed().compactMap { UInt128($0, radix: 16) }.filter { $0 < 16 }
        return digits.count == 32 ? IPAddress(.v6, digits.reduce(0) { $0 << 4 | $1 }) : nil
    }

    /// A name as labels with their lengths.
    static func encode(_ name: String) -> [UInt8] {
        name.split(separator: ".").flatMap { [UInt8(min(63, $0.utf8.count))] + $0.utf8.prefix(63) } + [0]
    }
}
