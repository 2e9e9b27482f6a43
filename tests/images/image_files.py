"""Image files of every kind, made here, with a patient's name wherever the kind has room for one."""

import gzip
import io
import struct
import zlib

import nibabel
import numpy as np
import pydicom
from PIL import Image, PngImagePlugin
from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, generate_uid

PATIENT = "Doe-Jane-1951"
XMP = f'<x:xmpmeta xmlns:x="adobe:ns:meta/"><name>{PATIENT}</name></x:xmpmeta>'.encode()


def pixels(seed: int = 0, shape: tuple[int, ...] = (20, 32, 3)) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


def saved(image: Image.Image, kind: str = "PNG", **options) -> bytes:
    file = io.BytesIO()
    image.save(file, format=kind, **options)
    return file.getvalue()


def exif(orientation: int = 1) -> Image.Exif:
    tags = Image.Exif()
    tags[0x010E], tags[0x0112] = PATIENT, orientation  # ImageDescription, Orientation
    return tags


def segment(marker: int, content: bytes) -> bytes:
    return bytes((0xFF, marker)) + struct.pack(">H", len(content) + 2) + content


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def jpeg(seed: int = 0, orientation: int = 1, **options) -> bytes:
    """A JPEG with EXIF, XMP, IPTC, comments before and between its scans, a preview and something behind its end."""
    data = saved(Image.fromarray(pixels(seed)), "JPEG", exif=exif(orientation), xmp=XMP, comment=PATIENT, **options)
    start = 2 + 2 + int.from_bytes(data[4:6])  # after JFIF
    name = PATIENT.encode()
    preview = segment(0xE0, b"JFIF\0\1\1\0\0\1\0\1\1\5" + (name + b"..")[:15])  # a thumbnail of 1 x 5 pixels
    iptc = segment(0xED, b"Photoshop 3.0\x008BIM\x04\x04\0\0" + name)
    body = data[start:]
    scan = body.rindex(b"\xff\xda")
    body = body[:scan] + segment(0xFE, name) + body[scan:]
    return data[:2] + preview + iptc + segment(0xE5, name) + body + name


def png(seed: int = 0, orientation: int = 1, image: Image.Image | None = None) -> bytes:
    """A PNG with texts of all kinds, EXIF, time, a chunk of nobody's and something behind its end."""
    texts = PngImagePlugin.PngInfo()
    texts.add_text("Author", PATIENT)
    texts.add_text("Comment", PATIENT, zip=True)
    texts.add_itxt("XML:com.adobe.xmp", XMP.decode(), zip=True)
    data = saved(image or Image.fromarray(pixels(seed)), pnginfo=texts, exif=exif(orientation))
    name = PATIENT.encode()
    extra = chunk(b"tIME", b"\x07\x9f\1\1\0\0\0") + chunk(b"paTi", name) + chunk(b"tEXt", b"Late\0" + name)
    return data[:-12] + extra + data[-12:] + name


def dicom(values: np.ndarray, **fields) -> bytes:
    """A DICOM file of 16-bit gray, (H, W) or (N, H, W)."""
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = CTImageStorage
    meta.MediaStorageSOPInstanceUID = generate_uid(entropy_srcs=["a"])
    meta.TransferSyntaxUID = fields.pop("TransferSyntaxUID", ExplicitVRLittleEndian)
    dataset = FileDataset("", {}, file_meta=meta, preamble=b"\0" * 128)
    dataset.PatientName, dataset.PatientID = PATIENT, PATIENT
    dataset.Modality, dataset.BodyPartExamined, dataset.PatientComments = "CT", "HEAD", PATIENT
    if values.ndim == 3:
        dataset.NumberOfFrames = len(values)
    dataset.Rows, dataset.Columns = values.shape[-2:]
    dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 1, "MONOCHROME2"
    dataset.BitsAllocated = dataset.BitsStored = 16
    dataset.HighBit, dataset.PixelRepresentation = 15, 1
    dataset.PixelData = values.astype("<i2").tobytes()
    for name, value in fields.items():
        setattr(dataset, name, value)
    file = io.BytesIO()
    pydicom.dcmwrite(file, dataset, enforce_file_format=True)
    return file.getvalue()


def nifti(array: np.ndarray, affine: np.ndarray | None = None, packed: bool = False) -> bytes:
    """A NIfTI-1 file, by default with axes to the right, to the front and upwards."""
    volume = nibabel.Nifti1Image(array, np.eye(4) if affine is None else affine)
    volume.header["descrip"], volume.header["db_name"] = PATIENT, PATIENT
    data = volume.to_bytes()
    return gzip.compress(data, mtime=0) if packed else data


def png_of_size(width: int, height: int) -> bytes:
    """A PNG whose header claims a size, with next to no data."""
    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    body = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(bytes(1000))) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + body
