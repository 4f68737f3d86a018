//! Releases that lie elsewhere: an app image or a signed release behind a URL. It is looked at as nodes will look at it, with
//! everything that it leads to, before it becomes a release here.

use super::page::read_ca;
use super::releases::{NewRelease, ReleaseParts};
use super::{Service, ServiceError};
use crate::store::release::ImageRow;
use rootcast_hosting::check::{
    CheckOptions, CheckReport, Outcome, ReleaseFacts, Step, TrustStore, VariantFacts, check,
};
use rootcast_image::ChipId;
use rootcast_wire::NodeType;

/// No slot is larger: what a node has room for it says itself.
const ANY_SLOT: u32 = super::releases::MAX_FILE_BYTES as u32;

impl Service {
    /// What a release behind a URL consists of, and what is worth knowing about how it is served.
    pub(super) async fn look_elsewhere(
        &self,
        url: &str,
        new: &NewRelease,
    ) -> Result<(ReleaseParts, Vec<String>), ServiceError> {
        let trust = match &new.ca {
            Some(pem) => TrustStore::Only(read_ca(pem)?),
            None => match (&self.ca, url.starts_with(&*self.files_url)) {
                (Some(own), true) => TrustStore::Only(read_ca(own)?),
                _ => TrustStore::Mozilla,
            },
        };
        let options = CheckOptions { trust, slot_size: ANY_SLOT, ..CheckOptions::default() };
        let report = check(url, &options).await;
        if !report.accepted {
            return Err(ServiceError::Invalid(refusal(&report)));
        }
        let warnings = report.steps.iter().filter(|step| is_worth_knowing(step)).map(say).collect();
        let file = self.place_of(url);
        let parts = match &report.release {
            Some(facts) => self.parts_of_release(file, facts)?,
            None => parts_of_image(file, &report)?,
        };
        Ok((parts, warnings))
    }

    /// A URL as it is kept: what lies on the host is named without the host, which may be called otherwise tomorrow.
    fn place_of(&self, url: &str) -> String {
        url.strip_prefix(&*self.files_url).unwrap_or(url).to_owned()
    }

    fn parts_of_release(&self, manifest: String, facts: &ReleaseFacts) -> Result<ReleaseParts, ServiceError> {
        let images =
            facts.images.iter().map(|variant| self.row_of_variant(variant)).collect::<Result<_, _>>()?;
        Ok(ReleaseParts {
            version: facts.version.clone().unwrap_or_default(),
            project: String::new(),
            manifest: Some(manifest),
            sequence: i64::try_from(facts.sequence_number).ok(),
            images,
        })
    }

    fn row_of_variant(&self, variant: &VariantFacts) -> Result<ImageRow, ServiceError> {
        let refuse = |why: &str| {
            let what = variant.class.as_deref().unwrap_or(&variant.url);
            ServiceError::Invalid(format!("the image for {what} cannot be rolled out: {why}"))
        };
        let class =
            variant.class.as_deref().ok_or_else(|| refuse("the release does not say whom it is for"))?;
        let mut parts = class.split(':');
        let chip = parts.next().and_then(chip_of).ok_or_else(|| refuse("its chip is not known"))?;
        let node_type = parts.next().unwrap_or_default().to_owned();
        if parts.next().is_some() {
            return Err(refuse(
                "it is for one hardware revision, and nodes do not report theirs: trigger this release with rootcast trigger",
            ));
        }
        if !node_type.is_empty() && NodeType::from_name(&node_type).is_none() {
            return Err(refuse("its node type is none"));
        }
        let image_hash = variant.image_hash.clone();
        Ok(ImageRow {
            release_id: String::new(),
            chip: chip.0.into(),
            node_type,
            file: self.place_of(&variant.url),
            size: variant.size.into(),
            sha256: variant.sha256.clone(),
            image_hash: image_hash.ok_or_else(|| {
                refuse("the release does not say its image hash, so success could not be proved")
            })?,
            elf: None,
            signed: 1,
            patches: serde_json::to_string(&variant.patches_from).unwrap_or_default(),
        })
    }
}

fn parts_of_image(file: String, report: &CheckReport) -> Result<ReleaseParts, ServiceError> {
    let unusable = || ServiceError::Invalid(format!("{} cannot be read as an image", report.url));
    let image = report.image.as_ref().ok_or_else(unusable)?;
    let chip = chip_of(&image.chip).ok_or_else(unusable)?;
    let elf = image.elf_sha256.as_deref().and_then(|elf| elf.get(..32));
    let row = ImageRow {
        release_id: String::new(),
        chip: chip.0.into(),
        node_type: String::new(),
        file,
        size: report.transfer.and_then(|transfer| i64::try_from(transfer.bytes).ok()).ok_or_else(unusable)?,
        sha256: report.sha256.clone().ok_or_else(unusable)?,
        image_hash: image.image_hash.clone(),
        elf: elf.map(str::to_owned),
        signed: image.signed.into(),
        patches: "[]".to_owned(),
    };
    Ok(ReleaseParts {
        version: image.version.clone(),
        project: image.project.clone(),
        manifest: None,
        sequence: None,
        images: vec![row],
    })
}

/// A chip by the name that stands in a class: `esp32c3`, or `chip4660`.
fn chip_of(name: &str) -> Option<ChipId> {
    ChipId::from_name(name).or_else(|| name.strip_prefix("chip")?.parse().ok().map(ChipId))
}

fn refusal(report: &CheckReport) -> String {
    let failed = report.steps.iter().find(|step| step.outcome == Outcome::Fail);
    let why = failed.map_or_else(|| "the check failed".to_owned(), say);
    format!("nodes would not take {}: {why}", report.url)
}

/// Warnings about how it is served. That chip and keys were not given is as it has to be here.
fn is_worth_knowing(step: &Step) -> bool {
    use rootcast_hosting::check::warning::{CHIP_UNCHECKED, SIGNATURE_UNCHECKED};
    step.outcome == Outcome::Warn && !matches!(step.code, Some(CHIP_UNCHECKED | SIGNATURE_UNCHECKED))
}

fn say(step: &Step) -> String {
    let file = step.file.as_ref().map(|file| format!("{file}: ")).unwrap_or_default();
    let advice = step.advice.as_ref().map(|advice| format!("; {advice}")).unwrap_or_default();
    format!("{file}{}{advice}", step.found)
}
