//! The kind `Image`: one file on a storage (an ISO image, a container template, a disk to import) by its address and checksum.

use super::desired::{DesiredImage, Download, ImageSource, Pull};
use super::options::{options, words};
use super::scalar::{FileName, HexDigest, ImageReference, ImageUrl};
use crate::ids::{NodeName, StorageId, VolumeId};

words! {
    /// What a file is to Proxmox VE.
    pub enum ImageContent { Iso = "iso", Vztmpl = "vztmpl", Import = "import" }
}
words! {
    /// How a checksum is made.
    pub enum ChecksumAlgorithm { Md5 = "md5", Sha1 = "sha1", Sha224 = "sha224", Sha256 = "sha256", Sha384 = "sha384", Sha512 = "sha512" }
}
words! {
    /// How what is downloaded was compressed.
    pub enum Decompression { Gz = "gz", Lzo = "lzo", Zst = "zst" }
}

impl ImageContent {
    /// How the names of such files end (PVE::Storage's `ISO_EXT_RE_0`, `VZTMPL_EXT_RE_1`, `UPLOAD_IMPORT_EXT_RE_1`).
    pub fn endings(self) -> &'static [&'static str] {
        match self {
            Self::Iso => &[".iso", ".img"],
            Self::Vztmpl => &[".tar.gz", ".tar.xz", ".tar.zst", ".tar.bz2"],
            Self::Import => &[".qcow2", ".raw", ".vmdk", ".ova"],
        }
    }

    /// How the names of such files end that come from a container registry.
    pub const PULLED: &str = ".tar";

    /// Whether Proxmox VE takes a file of that name for this.
    pub fn takes(self, name: &str) -> bool {
        let name = if self == Self::Iso {
            name.to_ascii_lowercase()
        } else {
            name.to_owned()
        };
        self.endings()
            .iter()
            .any(|ending| name.len() > ending.len() && name.ends_with(ending))
    }
}

impl ChecksumAlgorithm {
    /// How many hexadecimal digits its checksums have.
    pub fn digits(self) -> usize {
        match self {
            Self::Md5 => 32,
            Self::Sha1 => 40,
            Self::Sha224 => 56,
            Self::Sha256 => 64,
            Self::Sha384 => 96,
            Self::Sha512 => 128,
        }
    }
}

options! {
    /// The checksum of what is downloaded, before it is decompressed.
    pub struct Checksum {
        /// How it is made. `md5` and `sha1` tell damage but do not keep out a file that somebody made up to fit.
        algorithm: Option<ChecksumAlgorithm> = "checksum-algorithm" by hand,
        /// The checksum in hexadecimal digits.
        value: Option<HexDigest> = "checksum" by hand,
    }
}

options! {
    /// A file that shall be on a storage. It is downloaded once, by the node, where it is not there yet. A file that is there is never
    /// downloaded again, and no guest is ever replaced for one: what shall be another file gets another `filename`.
    pub struct ImageSpec {
        /// The storage the file lies on; one that keeps files, with `content` among its contents. Always to be written.
        storage: Option<StorageId> = "storage" by hand,
        /// The node that downloads it. Needed where each node has its own files on the storage, unless only one node has the storage.
        node: Option<NodeName> = "node" by hand,
        /// What the file is: `iso` for CD drives, `vztmpl` for new containers, `import` for disks of new machines. Always to be written.
        content: Option<ImageContent> = "content" by hand,
        /// The name of the file on the storage, where it is not the document's name. It ends in `.iso` or `.img` (`iso`), in `.tar.gz`,
        /// `.tar.xz`, `.tar.zst` or `.tar.bz2` (`vztmpl`; in `.tar` where it comes from a registry), in `.qcow2`, `.raw`, `.vmdk` or
        /// `.ova` (`import`).
        filename: Option<FileName> = "filename" by hand,
        /// Where the node downloads it from, without a user name and password: it stands in plans and in Proxmox VE's task logs. This
        /// and `checksum`, or `reference`, is always to be written.
        url: Option<ImageUrl> = "url" by hand,
        /// The image of a container registry that the node pulls instead of downloading a file, with its tag
        /// (`docker.io/library/nginx:1.29`); from Proxmox VE 9.1 on, and for `vztmpl` only. Which image a tag means can change, and Proxmox
        /// VE checks nothing: what is pulled is what the registry serves under it at that moment.
        reference: Option<ImageReference> = "reference" by hand,
        /// The checksum of what is downloaded. Always to be written with `url`: a download that does not have it is thrown away.
        checksum: Option<Checksum> = "" by hand,
        /// Decompress what was downloaded; only for `iso`.
        decompression: Option<Decompression> = "compression" by hand,
        /// Whether the certificate of an `https` address is verified. Default `true`.
        verify_certificates: Option<bool> = "verify-certificates" by hand,
    }
}

impl ImageSpec {
    /// The name of the file: its own, or the document's where that can be one.
    pub fn file(&self, name: &str) -> Option<FileName> {
        let named = || FileName::new(name).ok();
        self.filename.clone().or_else(named)
    }

    /// The volume it is about, for the document of that name.
    pub fn volume(&self, name: &str) -> Option<VolumeId> {
        let file = self.file(name)?;
        let path = format!("{}/{}", self.content?.as_str(), file.as_str());
        Some(VolumeId::new(self.storage.clone()?, path))
    }

    /// What this asks for; `None` where something is missing that always has to be written.
    pub fn desired(&self, name: &str) -> Option<DesiredImage> {
        Some(DesiredImage {
            volume: self.volume(name)?,
            node: self.node.clone(),
            source: self.source()?,
        })
    }

    fn source(&self) -> Option<ImageSource> {
        if let Some(reference) = &self.reference {
            return Some(ImageSource::Registry(Pull {
                reference: reference.as_str().to_owned(),
            }));
        }
        let checksum = self.checksum.as_ref()?;
        Some(ImageSource::Url(Download {
            url: self.url.as_ref()?.as_str().to_owned(),
            algorithm: checksum.algorithm?.as_str().to_owned(),
            checksum: checksum.value.as_ref()?.as_str().to_owned(),
            decompression: self.decompression.map(|how| how.as_str().to_owned()),
            verify_certificates: self.verify_certificates != Some(false),
        }))
    }
}

#[cfg(test)]
#[allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]
mod tests {
    use crate::document::desired::Desired;
    use crate::document::load;

    const SUM: &str = "5f70bf18a086007016e948b04aed3b82103a36bea41755b6cddfaf10ace3c6ef";

    fn read(name: &str, spec: &str) -> Result<Desired, String> {
        let text = format!(
            "apiVersion: bailiwick.dev/v1alpha1\nkind: Image\nmetadata: {{name: {name}}}\nspec: {{{spec}}}\n"
        );
        let documents = load(&[("a.yaml", text)]).map_err(|errors| errors.to_string())?;
        Ok(documents[0].desired())
    }

    fn whole(content: &str, more: &str) -> String {
        format!(
            "storage: local, content: {content}, url: 'https://a.example/x', checksum: {{algorithm: sha256, value: {SUM}}}{more}"
        )
    }

    #[test]
    fn the_name_is_the_documents_where_it_can_be_one() {
        let volume = |name: &str, spec: &str| match read(name, spec).unwrap() {
            Desired::Image(image) => image.volume.to_string(),
            other => panic!("{other:?}"),
        };
        assert_eq!(volume("a-13.iso", &whole("iso", "")), "local:iso/a-13.iso");
        assert_eq!(
            volume("a", &whole("vztmpl", ", filename: A_1.tar.zst")),
            "local:vztmpl/A_1.tar.zst"
        );
        let upper = whole("iso", ", filename: WIN.ISO");
        assert_eq!(volume("a", &upper), "local:iso/WIN.ISO");
    }

    #[test]
    fn what_proxmox_would_not_take_is_refused_at_once() {
        let refused = |name: &str, spec: &str| read(name, spec).unwrap_err();
        for (content, name, word) in [
            ("iso", "a", "ends in one of `.iso`, `.img`"),
            ("iso", "a.qcow2", "`spec.filename`"),
            ("vztmpl", "a.tar", "`.tar.zst`"),
            ("import", "a.iso", "`.qcow2`"),
        ] {
            let text = refused(name, &whole(content, ""));
            assert!(text.contains(word), "{content} {name}: {text}");
        }
        let path = refused("a", &whole("iso", ", filename: ../a.iso"));
        assert!(path.contains("the name of a file"), "{path}");
        let packed = refused("a.tar.gz", &whole("vztmpl", ", decompression: gz"));
        assert!(
            packed.contains("only what is downloaded as `iso`"),
            "{packed}"
        );
    }

    #[test]
    fn what_is_downloaded_is_always_told_by_its_checksum() {
        let refused = |spec: &str| read("a.iso", spec).unwrap_err();
        let none = refused("storage: local, content: iso, url: 'https://a.example/x'");
        assert!(
            none.contains("has no `checksum`") && none.contains("nobody could tell"),
            "{none}"
        );
        let short = whole("iso", "").replace("sha256", "sha512");
        let short = refused(&short);
        assert!(
            short.contains("a checksum of sha512 has 128 hexadecimal digits, and this one has 64"),
            "{short}"
        );
        let half = whole("iso", "").replace("algorithm: sha256, ", "");
        assert!(refused(&half).contains("has no `algorithm`"));
    }

    #[test]
    fn an_image_of_a_registry_is_named_with_its_tag_and_nothing_else() {
        let spec =
            |reference: &str| format!("storage: local, content: vztmpl, reference: '{reference}'");
        for reference in [
            "nginx:1.29",
            "docker.io/library/nginx:1.29-alpine",
            "registry.example.org:5000/a__b/c.d/e--f:_x",
            "ghcr.io/a/b:V1.0_2",
        ] {
            let Desired::Image(image) = read("nginx.tar", &spec(reference)).unwrap() else {
                panic!("{reference}");
            };
            assert_eq!(image.source.place(), reference);
            assert_eq!(image.volume.to_string(), "local:vztmpl/nginx.tar");
        }
        for reference in [
            "nginx",
            "nginx@sha256:5f70bf18a086007016e948b04aed3b82103a36bea41755b6cddfaf10ace3c6ef",
            "Nginx:1",
            "https://docker.io/nginx:1",
            "a//b:1",
            "a:",
            "a._b:1",
            "a:-x",
            "me:secret@a.example/x:1",
        ] {
            let text = read("nginx.tar", &spec(reference)).unwrap_err();
            assert!(
                text.contains("an image with its tag"),
                "{reference}: {text}"
            );
        }
        let refused =
            |name: &str, more: &str| read(name, &format!("{}{more}", spec("nginx:1"))).unwrap_err();
        let name = refused("nginx.tar.gz", "");
        assert!(name.contains("ends in one of `.tar`"), "{name}");
        for (more, word) in [
            (", url: 'https://a.example/x'", "remove one of the two"),
            (", decompression: gz", "`spec.decompression` says how"),
            (", verifyCertificates: false", "`spec.verifyCertificates`"),
        ] {
            let text = refused("nginx.tar", more);
            assert!(text.contains(word), "{more}: {text}");
        }
        let iso = spec("nginx:1").replace("vztmpl", "iso");
        let iso = read("nginx.tar", &iso).unwrap_err();
        assert!(iso.contains("write `content: vztmpl`"), "{iso}");
        let neither = read("a.tar.zst", "storage: local, content: vztmpl").unwrap_err();
        assert!(neither.contains("`spec` has no `url`"), "{neither}");
    }

    #[test]
    fn an_address_carries_no_secret() {
        for address in [
            "https://me:secret@a.example/x",
            "ftp://a.example/x",
            "https:///x",
            "https://a.example/x y",
        ] {
            let spec = whole("iso", "").replace("https://a.example/x", address);
            let text = read("a.iso", &spec).unwrap_err();
            assert!(text.contains("without a user name or password"), "{text}");
            assert!(!text.contains("secret"), "{text}");
        }
    }
}
