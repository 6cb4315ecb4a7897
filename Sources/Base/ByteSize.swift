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

    /// `1.57GB`: powers of 1000, as the docker CLI shows images and transfers.
    public static func decimal(_ bytes: Int64) -> String {
        format(Double(bytes), base: 1000, units: ["B", "kB", "MB", "GB", "TB", "PB"])
    }

    private static func format(_ bytes: Double, base: Double, units: [String]) -> String {
        var value = bytes
        var unit = 0
        while value >= base, unit < units.count - 1 {
            value /= base
            unit += 1
        }
        return significant(value) + units[unit]
    }

    /// Four significant digits without trailing zeros, Go's `%.4g`.
    private static func significant(_ value: Double) -> String {
        let decimals = value >= 1000 ? 0 : value >= 100 ? 1 : value >= 10 ? 2 : 3
        var scale = 1.0
        for _ in 0..<decimals { scale *= 10 }
        let rounded = (value * scale).rounded() / scale
        return rounded == rounded.rounded() ? String(Int64(rounded)) : "\(rounded)"
    }
}
