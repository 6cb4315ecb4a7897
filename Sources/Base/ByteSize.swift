/// Sizes in bytes, as people write them.
public enum ByteSize {
    /// Parses `512`, `512b`, `64k`, `512m`, `2g`, `1t` and forms such as `2GiB`; powers of 1024, as the docker CLI.
    ///
    /// - Throws: `SkalaError` `.invalid` naming the text.
    public static func parse(_ text: String) throws(SkalaError) -> Int64 {
        let lower = text.lowercased()
        let digits = lower.prefix { $0.isNumber || $0 == "." }
        var unit = lower.dropFirst(digits.count).drop { $0 == " " }
        if unit.hasSuffix("ib") { unit = unit.dropLast(2) } else if unit.hasSuffix("b") { unit = unit.dropLast() }
        let shifts: [Substring: Int] = ["": 0, "k": 10, "m": 20, "g": 30, "t": 40, "p": 50]
        guard let number = Double(digits), let shift = shifts[unit] else {
            throw SkalaError(.invalid, "invalid size: '\(text)'")
        }
        let bytes = number * Double(Int64(1) << Int64(shift))
        guard bytes < 9e18 else { throw SkalaError(.invalid, "size too large: '\(text)'") }
        return Int64(bytes)
    }

    /// `1.5GiB`: powers of 1024, up to three significant decimals as the docker CLI shows memory.
    public static func binary(_ bytes: Int64) -> String {
        format(Double(bytes), base: 1024, units: ["B", "KiB", "MiB", "GiB", "TiB", "PiB"])
    }

    /// `1.573GB`: powers of 1000, as the docker CLI shows transfers; with three digits, images and containers.
    public static func decimal(_ bytes: Int64, digits: Int = 4) -> String {
        format(Double(bytes), base: 1000, units: ["B", "kB", "MB", "GB", "TB", "PB"], digits: digits)
    }

    private static func format(_ bytes: Double, base: Double, units: [String], digits: Int = 4) -> String {
        var value = bytes
        var unit = 0
        while value >= base, unit < units.count - 1 {
            value /= base
            unit += 1
        }
        return significant(value, digits) + units[unit]
    }

    /// So many significant digits without trailing zeros, Go's `%.4g`.
    private static func significant(_ value: Double, _ digits: Int) -> String {
        let decimals = max(0, digits - (value >= 1000 ? 4 : value >= 100 ? 3 : value >= 10 ? 2 : 1))
        var scale = 1.0
        for _ in 0..<decimals { scale *= 10 }
        let rounded = (value * scale).rounded() / scale
        return rounded == rounded.rounded() ? String(Int64(rounded)) : "\(rounded)"
    }
}
