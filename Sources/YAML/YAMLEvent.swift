import CYAML

/// One step of libyaml's parser, as values.
struct YAMLEvent {
    enum Kind {
        case documentStart, streamEnd
        case scalar(String, isPlain: Bool)
        case alias(String)
        case sequenceStart, sequenceEnd, mappingStart, mappingEnd
        /// What stands between documents.
        case other
    }

    let kind: Kind
    let place: YAMLPlace
    let anchor: String?

    init(_ event: yaml_event_t, file: String) {
        place = YAMLPlace(event.start_mark, file: file)
        var anchor: UnsafeMutablePointer<yaml_char_t>?
        switch event.type {
        case YAML_DOCUMENT_START_EVENT: kind = .documentStart
        case YAML_STREAM_END_EVENT: kind = .streamEnd
        case YAML_SCALAR_EVENT:
            let scalar = event.data.scalar
            anchor = scalar.anchor
            let bytes = UnsafeBufferPointer(start: scalar.value, count: scalar.length)
            // A tag says what it is, as quotes do.
            kind = .scalar(
                String(decoding: bytes, as: UTF8.self),
                isPlain: scalar.style == YAML_PLAIN_SCALAR_STYLE && scalar.plain_implicit == 1)
        case YAML_ALIAS_EVENT: kind = .alias(String(cString: event.data.alias.anchor))
        case YAML_SEQUENCE_START_EVENT:
            anchor = event.data.sequence_start.anchor
            kind = .sequenceStart
        case YAML_SEQUENCE_END_EVENT: kind = .sequenceEnd
        case YAML_MAPPING_START_EVENT:
            anchor = event.data.mapping_start.anchor
            kind = .mappingStart
        case YAML_MAPPING_END_EVENT: kind = .mappingEnd
        default: kind = .other
        }
        self.anchor = anchor.map { String(cString: $0) }
    }
}
