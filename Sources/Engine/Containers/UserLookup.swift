import Base

/// Finds the user a process runs as in a container's /etc/passwd and /etc/group, as Docker does for `--user`.
struct UserLookup {
    /// Contents of the two files; empty when they are missing.
    let passwd: String
    let group: String

    /// `text` is empty (root), `name`, `uid`, `name:group`, `uid:gid` and mixtures; `groups` are names or numbers.
    ///
    /// - Returns: the OCI `user`: uid, gid, additionalGids. And the home folder, "/" when unknown.
    /// - Throws: `.notFound` with Docker's text when a name is not there.
    func find(_ text: String, groups: [String]) throws(SkalaError) -> (user: JSON, home: String) {
        let parts = text.split(separator: ":", maxSplits: 1, omittingEmptySubsequences: false).map(String.init)
        let name = parts.first.flatMap { $0.isEmpty ? nil : $0 } ?? "0"
        let entry = entries(passwd).first { $0[0] == name || ($0.count > 2 && $0[2] == name && UInt32(name) != nil) }
        guard let uid = entry.flatMap({ $0.count > 2 ? UInt32($0[2]) : nil }) ?? UInt32(name) else {
            throw SkalaError(.notFound, "unable to find user \(name): no matching entries in passwd file")
        }
        var gid = entry.flatMap { $0.count > 3 ? UInt32($0[3]) : nil } ?? 0
        var additional: [UInt32] = []
        if parts.count == 2, !parts[1].isEmpty {
            gid = try find(group: parts[1])
        } else if let login = entry?[0] {
            additional = entries(group).compactMap { fields in
                guard fields.count > 3, fields[3].split(separator: ",").contains(Substring(login)) else { return nil }
                return UInt32(fields[2])
            }
        }
        for name in groups { additional.append(try find(group: name)) }
        // The primary group is among them, so that a set-group-id program cannot shed it (CVE-2022-36109).
        additional = [gid] + additional.filter { $0 != gid }
        let user: JSON = ["uid": JSON(uid), "gid": JSON(gid), "additionalGids": JSON(additional.map { JSON($0) })]
        let home = entry.flatMap { $0.count > 5 && !$0[5].isEmpty ? $0[5] : nil } ?? "/"
        return (user, home)
    }

    /// The name of a user by number; the number when it has none.
    func name(of uid: Int64) -> String { entries(passwd).first { $0.count > 2 && $0[2] == "\(uid)" }?[0] ?? "\(uid)" }

    private func find(group name: String) throws(SkalaError) -> UInt32 {
        let entry = entries(group).first { $0[0] == name }
        guard let gid = entry.flatMap({ $0.count > 2 ? UInt32($0[2]) : nil }) ?? UInt32(name) else {
            throw SkalaError(.notFound, "unable to find group \(name): no matching entries in group file")
        }
        return gid
    }

    private func entries(_ file: String) -> [[String]] {
        file.split(separator: "\n").map { line in
            line.split(separator: ":", omittingEmptySubsequences: false).map(String.init)
        }
    }
}
