import Base

/// The rows of `skala system df`.
enum DiskUsageTable {
    static func rows(_ usage: JSON) -> [JSON] {
        let images = usage["Images"].array ?? []
        let containers = usage["Containers"].array ?? []
        let volumes = usage["Volumes"].array ?? []
        let usedImages = Set(containers.compactMap { $0["ImageID"].string })
        func bytes(_ objects: [JSON], _ size: (JSON) -> JSON) -> Int64 {
            objects.reduce(0) { $0 + max(0, size($1).int ?? 0) }
        }
        let idle = containers.filter { !["running", "paused", "restarting"].contains($0["State"].plain) }
        let unusedVolumes = volumes.filter { $0["UsageData"]["RefCount"].int ?? 0 == 0 }
        return [
            row(
                "Images", images.count, images.filter { usedImages.contains($0["Id"].plain) }.count,
                usage["LayersSize"].int ?? 0,
                bytes(images.filter { !usedImages.contains($0["Id"].plain) }) { $0["Size"] }),
            row(
                "Containers", containers.count, containers.count - idle.count, bytes(containers) { $0["SizeRw"] },
                bytes(idle) { $0["SizeRw"] }),
            row(
                "Local Volumes", volumes.count, volumes.count - unusedVolumes.count,
                bytes(volumes) { $0["UsageData"]["Size"] }, bytes(unusedVolumes) { $0["UsageData"]["Size"] }),
        ]
    }

    private static func row(_ type: String, _ total: Int, _ active: Int, _ size: Int64, _ unused: Int64) -> JSON {
        let share = size > 0 ? " (\(min(100, unused * 100 / size))%)" : ""
        return [
            "Type": JSON(type), "TotalCount": JSON("\(total)"), "Active": JSON("\(active)"),
            "Size": JSON(ByteSize.decimal(size)), "Reclaimable": JSON(ByteSize.decimal(min(unused, size)) + share),
        ]
    }
}
