extension NetworkManager {
    /// Where the host reaches a container: on the first of its networks that has a way out, else on its first one.
    ///
    /// - Returns: nil for one that has no address of its own.
    public func hostAddress(of container: String) -> IPAddress? {
        let endpoints = attached[container]?.endpoints ?? []
        let open = endpoints.filter { networks[$0.networkID]?.isInternal == false }
        return (open + endpoints).lazy.compactMap(\.addresses.first).first
    }
}
