import Base

/// What `-v`, `--mount` and `--tmpfs` say, as the API's fields.
enum MountSpec {
    /// `-v`: a path alone is an anonymous volume (of `Config.Volumes`), everything else a bind.
    enum Volume: Sendable, Hashable {
        case anonymous(String)
        case bind(String)
    }

    /// - Parameter directory: what relative paths of the host are relative to.
    static func volume(_ text: String, directory: String) throws(SkalaError) -> Volume {
        let fields = text.split(separator: ":", omittingEmptySubsequences: false).map(String.init)
        guard (1...3).contains(fields.count), fields.allSatisfy({ !$0.isEmpty }) else {
            throw SkalaError(.invalid, "invalid volume '\(text)': expected [SOURCE:]TARGET[:OPTIONS]")
        }
        if fields.count == 1 { return .anonymous(text) }
        guard fields[1].hasPrefix("/") else {
            throw SkalaError(.invalid, "invalid volume '\(text)': the path in the container must be absolute")
        }
        var source = fields[0]
        if source == "." || source == ".." || source.hasPrefix("./") || source.hasPrefix("../") {
            source = directory + "/" + source
        } else if source == "~" || source.hasPrefix("~/") {
            throw SkalaError(.invalid, "invalid volume '\(text)': '~' is for the shell to replace; use $HOME")
        }
        return .bind(([source] + fields.dropFirst()).joined(separator: ":"))
    }

    /// An element of `HostConfig.Mounts` from `type=bind,source=/a,target=/b,readonly`.
    static func mount(_ text: String, directory: String) throws(SkalaError) -> JSON {
        var mount: JSON = ["Type": "volume", "Source": "", "Target": ""]
        for field in text.split(separator: ",") {
            let parts = field.split(separator: "=", maxSplits: 1).map(String.init)
            let (key, value) = (parts[0].lowercased(), parts.count == 2 ? parts[1] : nil)
            func required() throws(SkalaError) -> String {
                guard let value else { throw SkalaError(.invalid, "invalid mount '\(text)': '\(key)' needs a value") }
                return value
            }
            func truth() throws(SkalaError) -> Bool {
                switch value ?? "true" {
                case "true", "1": true
                case "false", "0": false
                default: throw SkalaError(.invalid, "invalid mount '\(text)': '\(key)' is true or false")
                }
            }
            switch key {
            case "type": mount["Type"] = JSON(try required())
            case "source", "src": mount["Source"] = JSON(try required())
            case "target", "destination", "dst": mount["Target"] = JSON(try required())
            case "readonly", "ro": mount["ReadOnly"] = JSON(try truth())
            case "consistency": mount["Consistency"] = JSON(try required())
            case "bind-propagation": mount["BindOptions"]["Propagation"] = JSON(try required())
            case "bind-nonrecursive": mount["BindOptions"]["NonRecursive"] = JSON(try truth())
            case "bind-create-src": mount["BindOptions"]["CreateMountpoint"] = JSON(try truth())
            case "volume-nocopy": mount["VolumeOptions"]["NoCopy"] = JSON(try truth())
            case "volume-subpath": mount["VolumeOptions"]["Subpath"] = JSON(try required())
            case "volume-driver": mount["VolumeOptions"]["DriverConfig"]["Name"] = JSON(try required())
            case "volume-label":
                let (name, label) = KeyValue.split(try required())
                mount["VolumeOptions"]["Labels"][name] = JSON(label)
            case "volume-opt":
                let (name, option) = KeyValue.split(try required())
                mount["VolumeOptions"]["DriverConfig"]["Options"][name] = JSON(option)
            case "tmpfs-size": mount["TmpfsOptions"]["SizeBytes"] = JSON(try ByteSize.parse(try required()))
            case "tmpfs-mode":
                guard let mode = Int64(try required(), radix: 8) else {
                    throw SkalaError(.invalid, "invalid mount '\(text)': tmpfs-mode is octal, such as 1777")
                }
                mount["TmpfsOptions"]["Mode"] = JSON(mode)
            default: throw SkalaError(.invalid, "invalid mount '\(text)': unknown field '\(key)'")
            }
        }
        guard let target = mount["Target"].string, !target.isEmpty else {
            throw SkalaError(.invalid, "invalid mount '\(text)': 'target' is missing")
        }
        if mount["Type"] == "bind", let source = mount["Source"].string, source.hasPrefix(".") {
            mount["Source"] = JSON(directory + "/" + source)
        }
        return mount
    }

    /// `/run` or `/run:size=64m,mode=755` of `--tmpfs`.
    static func tmpfs(_ text: String) -> (path: String, options: String) {
        guard let colon = text.firstIndex(of: ":") else { return (text, "") }
        return (String(text[..<colon]), String(text[text.index(after: colon)...]))
    }
}
