import Base

extension Endpoint {
    var json: JSON {
        [
            "id": JSON(endpointID), "network": JSON(networkID), "networkName": JSON(networkName),
            "interface": JSON(interface), "mac": JSON(macAddress), "ipv4": JSON(ipv4), "prefix": JSON(prefixLength),
            "gateway": JSON(gateway), "ipv6": JSON(ipv6), "ipv6Prefix": JSON(ipv6PrefixLength),
            "ipv6Gateway": JSON(ipv6Gateway), "names": JSON(dnsNames),
        ]
    }

    init(json: JSON) {
        endpointID = json["id"].string ?? ""
        networkID = json["network"].string ?? ""
        networkName = json["networkName"].string ?? ""
        interface = json["interface"].string ?? ""
        macAddress = json["mac"].string ?? ""
        ipv4 = json["ipv4"].string ?? ""
        prefixLength = Int(json["prefix"].int ?? 0)
        gateway = json["gateway"].string ?? ""
        ipv6 = json["ipv6"].string ?? ""
        ipv6PrefixLength = Int(json["ipv6Prefix"].int ?? 0)
        ipv6Gateway = json["ipv6Gateway"].string ?? ""
        dnsNames = json["names"].strings ?? []
    }
}

extension PublishedPort {
    var json: JSON {
        [
            "hostIP": JSON(hostIP), "hostPort": JSON(hostPort), "containerPort": JSON(containerPort),
            "protocol": JSON(`protocol`),
        ]
    }

    init(json: JSON) {
        self.init(
            hostIP: json["hostIP"].string ?? "", hostPort: UInt16(clamping: json["hostPort"].int ?? 0),
            containerPort: UInt16(clamping: json["containerPort"].int ?? 0), protocol: json["protocol"].string ?? "")
    }
}

/// Ethernet addresses: `02:42:ac:11:00:02`.
enum MACAddress {
    static func text(_ bytes: [UInt8]) -> String { bytes.map { Hexadecimal.encode([$0]) }.joined(separator: ":") }

    /// - Throws: `.invalid` naming the text.
    static func parse(_ text: String) throws(SkalaError) -> [UInt8] {
        let parts = text.split(separator: ":", omittingEmptySubsequences: false)
        // Two digits each: UInt8's own parser would take a sign for one.
        let bytes = parts.compactMap { part -> UInt8? in
            let digits = part.utf8.compactMap(Hexadecimal.value(of:))
            return digits.count == 2 && part.utf8.count == 2 ? digits[0] << 4 | digits[1] : nil
        }
        guard bytes.count == 6, parts.count == 6, bytes[0] & 1 == 0 else {
            throw SkalaError(.invalid, "invalid MAC address: '\(text)'")
        }
        return bytes
    }
}
