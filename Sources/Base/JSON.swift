/// A JSON value (RFC 8259). Objects keep the order their keys were written in, so that what Skala prints is
/// the same in every run.
///
/// One codec serves the warden (which has no Foundation), the store and the API. Reading a missing key gives
/// `.null`, so paths can be walked without unwrapping: `spec["process"]["user"]["uid"].int`.
public enum JSON: Sendable, Hashable {
    case null
    case bool(Bool)
    case int(Int64)
    case double(Double)
    case string(String)
    case array([JSON])
    case object(JSONObject)
}

/// The members of a JSON object, in order. Look-up is linear: objects on Skala's paths have tens of members.
public struct JSONObject: Sendable, Hashable {
    public private(set) var members: [(key: String, value: JSON)]

    public init(_ members: [(key: String, value: JSON)] = []) { self.members = members }

    /// The value of `key`; setting nil removes the member, setting a value keeps the member's place. Of members written
    /// twice the last one counts, as for Go's readers: two readers must not see two documents.
    public subscript(key: String) -> JSON? {
        get { members.last { $0.key == key }?.value }
        set {
            let index = members.lastIndex { $0.key == key }
            switch (index, newValue) {
            case (let index?, let value?): members[index].value = value
            case (.some, nil): members.removeAll { $0.key == key }
            case (nil, let value?): members.append((key, value))
            case (nil, nil): break
            }
        }
    }

    public var isEmpty: Bool { members.isEmpty }
    public var count: Int { members.count }
    public var keys: [String] { members.map(\.key) }

    public static func == (a: JSONObject, b: JSONObject) -> Bool {
        a.members.count == b.members.count
            && zip(a.members, b.members).allSatisfy { $0.key == $1.key && $0.value == $1.value }
    }

    public func hash(into hasher: inout Hasher) {
        for member in members {
            hasher.combine(member.key)
            hasher.combine(member.value)
        }
    }
}

extension JSON {
    public var isNull: Bool { self == .null }

    /// The value as a Boolean, or nil when it is something else.
    public var bool: Bool? { if case .bool(let value) = self { value } else { nil } }

    /// The value as an integer, or nil when it is something else. A double without a fraction counts.
    public var int: Int64? {
        switch self {
        case .int(let value): value
        case .double(let value): Int64(exactly: value)
        default: nil
        }
    }

    public var double: Double? {
        switch self {
        case .int(let value): Double(value)
        case .double(let value): value
        default: nil
        }
    }

    public var string: String? { if case .string(let value) = self { value } else { nil } }
    public var array: [JSON]? { if case .array(let value) = self { value } else { nil } }
    public var object: JSONObject? { if case .object(let value) = self { value } else { nil } }

    /// The strings of an array of strings; nil when it is no array or any element is no string.
    public var strings: [String]? {
        guard let array else { return nil }
        let strings = array.compactMap(\.string)
        return strings.count == array.count ? strings : nil
    }

    /// The members of an object whose values are all strings, in order; nil otherwise.
    public var stringPairs: [(key: String, value: String)]? {
        guard let object else { return nil }
        let pairs = object.members.compactMap { member in member.value.string.map { (member.key, $0) } }
        return pairs.count == object.count ? pairs : nil
    }

    /// The same as a dictionary.
    public var stringDictionary: [String: String]? {
        stringPairs.map { Dictionary($0.map { ($0.key, $0.value) }, uniquingKeysWith: { _, last in last }) }
    }

    /// A member of an object. Missing members, and members of what is no object, are `.null`; setting one makes an
    /// object of what was none.
    public subscript(key: String) -> JSON {
        get { if case .object(let object) = self { object[key] ?? .null } else { .null } }
        set {
            var object = self.object ?? JSONObject()
            object[key] = newValue
            self = .object(object)
        }
    }

    /// An element of an array, `.null` beyond its end.
    public subscript(index: Int) -> JSON {
        if case .array(let array) = self, array.indices.contains(index) { array[index] } else { .null }
    }
}

extension JSON: ExpressibleByNilLiteral, ExpressibleByBooleanLiteral, ExpressibleByIntegerLiteral,
    ExpressibleByFloatLiteral, ExpressibleByStringLiteral, ExpressibleByStringInterpolation,
    ExpressibleByArrayLiteral, ExpressibleByDictionaryLiteral
{
    public init(nilLiteral: ()) { self = .null }
    public init(booleanLiteral value: Bool) { self = .bool(value) }
    public init(integerLiteral value: Int64) { self = .int(value) }
    public init(floatLiteral value: Double) { self = .double(value) }
    public init(stringLiteral value: String) { self = .string(value) }
    public init(arrayLiteral elements: JSON...) { self = .array(elements) }
    public init(dictionaryLiteral elements: (String, JSON)...) {
        self = .object(JSONObject(elements.map { (key: $0.0, value: $0.1) }))
    }

    public init(_ value: some BinaryInteger) { self = .int(Int64(clamping: value)) }
    public init(_ value: Bool) { self = .bool(value) }
    public init(_ value: Double) { self = .double(value) }
    public init(_ value: String) { self = .string(value) }
    public init(_ value: String?) { self = value.map { .string($0) } ?? .null }
    public init(_ values: [String]) { self = .array(values.map { .string($0) }) }
    public init(_ values: [JSON]) { self = .array(values) }
    /// An object of strings, sorted by key (dictionary order changes from run to run).
    public init(_ values: [String: String]) {
        self = .object(JSONObject(values.sorted { $0.key < $1.key }.map { ($0.key, .string($0.value)) }))
    }
}
