import Base

/// What `--network` says: a name, or `name=NAME,alias=OTHER,ip=ADDRESS`.
struct NetworkAttachment {
    var name = ""
    /// The API's `EndpointSettings`.
    var endpoint: JSON = [:]

    init(parsing text: String) throws(SkalaError) {
        guard text.contains("=") else {
            name = text
            return
        }
        for field in text.split(separator: ",") {
            let (key, value) = KeyValue.split(String(field))
            switch key {
            case "name": name = value
            case "alias": endpoint["Aliases"] = JSON((endpoint["Aliases"].array ?? []) + [JSON(value)])
            case "ip": endpoint["IPAMConfig"]["IPv4Address"] = JSON(value)
            case "ip6": endpoint["IPAMConfig"]["IPv6Address"] = JSON(value)
            case "mac-address": endpoint["MacAddress"] = JSON(value)
            case "driver-opt":
                let (name, option) = KeyValue.split(value)
                endpoint["DriverOpts"][name] = JSON(option)
            default: throw SkalaError(.invalid, "invalid network '\(text)': unknown field '\(key)'")
            }
        }
        guard !name.isEmpty else { throw SkalaError(.invalid, "invalid network '\(text)': 'name' is missing") }
    }
}
