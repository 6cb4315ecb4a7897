/// Numbers as people read them.
public enum Decimal {
    /// With a fixed count of decimals. Never rounds to a negative zero.
    public static func text(_ value: Double, _ decimals: Int) -> String {
        var scale: Int64 = 1
        for _ in 0..<decimals { scale *= 10 }
        let size = (abs(value) * Double(scale)).rounded()
        // Beyond the whole numbers, and what is none.
        guard size < 9e18 else { return "\(value)" }
        let scaled = Int64(size)
        let sign = value < 0 && scaled > 0 ? "-" : ""
        guard decimals > 0 else { return sign + "\(scaled)" }
        let fraction = String(scaled % scale)
        return sign + "\(scaled / scale)." + String(repeating: "0", count: decimals - fraction.count) + fraction
    }

    /// With three significant digits at least: `4482`, `12.3`, `0.00123`, `1.23e-6`.
    public static func significant(_ value: Double) -> String {
        var size = abs(value)
        guard size < 1e15 else { return "\(value)" }
        if size == 0 { return "0" }
        if size >= 1e-4 {
            var decimals = 0
            var limit = 100.0
            while size < limit, decimals < 6 {
                decimals += 1
                limit /= 10
            }
            return text(value, decimals)
        }
        var exponent = 0
        while size < 1, exponent < 400 {
            size *= 10
            exponent += 1
        }
        return (value < 0 ? "-" : "") + text(size, 2) + "e-\(exponent)"
    }
}
